/**
 * A built-in architecture with weights from a safetensors file: the builder's graph, bound in place (no weight is read
 * here) and convolutionalized.
 */
import { join } from 'node:path';
import { buildArchitecture, isArchitecture, parametersOf } from '../architectures/index.js';
import { countParameters } from '../graph/cost.js';
import type { Graph } from '../graph/graph.js';
import { applyPass, applyPasses } from '../graph/pass.js';
import { bindWeights } from '../graph/passes/bind-weights.js';
import { convolutionalizeGemm } from '../graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../graph/passes/convolutionalize-global-pool.js';
import { sha256 } from './digest.js';
import { MANIFEST_FILE, type ModelFolder } from './manifest.js';
import { ModelFileError } from './model-file-error.js';
import type { Network } from './network.js';
import { readSafetensors } from './safetensors.js';
import { findNaming } from './weight-names.js';

/** Reads the header of the weights and hashes them. Throws ModelFileError or GraphError. */
export async function loadBuiltIn(content: ModelFolder): Promise<Network> {
  const { folder, manifest, labels } = content;
  const weightsFile = join(folder, manifest.weights.file);
  const [{ tensors }, weightsDigest] = await Promise.all([readSafetensors(weightsFile), sha256(weightsFile)]);

  const nativeSize = Number(manifest.options?.['inputSize'] ?? manifest.input.size);
  const built = build(content, { inputSize: nativeSize, classes: labels.length });
  const names = parametersOf(built).map(({ name }) => name);
  const { nameOf } = findNaming(weightsFile, names, tensors);
  const classifier = applyPasses(built, [bindWeights({ file: manifest.weights.file, tensors, nameOf })]);
  const pooled = applyPass(classifier, convolutionalizeGlobalPool());
  const convolutional = pooled ?? applyPass(classifier, convolutionalizeGemm(nativeSize));
  if (convolutional === undefined) {
    const file = join(folder, MANIFEST_FILE);
    throw new ModelFileError(file, 'architecture', 'the head is neither a stack of Gemm nor pooled globally');
  }
  return {
    classifier,
    dense: { graph: convolutional, poolsGlobally: pooled !== undefined },
    nativeSize,
    parameters: countParameters(built),
    fileDigest: weightsDigest,
    weightsDigest,
    weightsFolder: folder,
  };
}

/** The unbound graph; options that the architecture does not take are the manifest's fault. */
function build(
  { folder, manifest: { architecture, options } }: ModelFolder,
  given: { readonly inputSize: number; readonly classes: number },
): Graph {
  const fail = (field: string, detail: string, cause?: unknown): ModelFileError =>
    new ModelFileError(join(folder, MANIFEST_FILE), field, detail, { cause });
  if (!isArchitecture(architecture)) throw fail('architecture', `"${architecture}" is not built in`);
  try {
    return buildArchitecture(architecture, { ...options, ...given });
  } catch (cause) {
    throw fail('options', cause instanceof Error ? cause.message : String(cause), cause);
  }
}
