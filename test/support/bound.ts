/** A classifier with the weights of a file, in both views, on pixels. */
import { basename } from 'node:path';
import type { Graph } from '../../src/graph/graph.js';
import { applyPasses } from '../../src/graph/pass.js';
import { addImageInput } from '../../src/graph/passes/add-image-input.js';
import { bindWeights } from '../../src/graph/passes/bind-weights.js';
import { readSafetensors } from '../../src/models/files/safetensors.js';
import { withClassMap } from './class-map.js';

export const IMAGENET = {
  channels: 'RGB',
  range: 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
} as const;

export interface BoundClassifier {
  /** → `logits`. */
  readonly classifier: Graph;
  /** → CLASS_MAP. */
  readonly dense: Graph;
}

/** Bind a safetensors file, which must have every parameter, and convolutionalize. */
export async function bindClassifier(built: Graph, file: string, nativeSize: number): Promise<BoundClassifier> {
  const { tensors } = await readSafetensors(file);
  const bound = applyPasses(built, [bindWeights({ file: basename(file), tensors })]);
  return {
    classifier: applyPasses(bound, [addImageInput(IMAGENET)]),
    dense: applyPasses(withClassMap(bound, nativeSize), [addImageInput(IMAGENET)]),
  };
}
