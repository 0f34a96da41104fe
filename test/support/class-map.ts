/** Classifiers of src/architectures as fully convolutional nets. */
import { convolutionalForm } from '../../src/graph/convolutional-form.js';
import type { Graph } from '../../src/graph/graph.js';

/** `[N, 3, H, W]` → CLASS_MAP; the native size in pixels matters only for a head that does not pool globally. */
export function withClassMap(classifier: Graph, nativeSize: number): Graph {
  return convolutionalForm(classifier, nativeSize).graph;
}
