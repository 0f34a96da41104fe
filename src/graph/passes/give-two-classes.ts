/**
 * Give a classifier with one output, which scores the second of two classes, a logit for each.
 *
 *   Before: … → logits [N, 1] = z
 *   After:  … → z → (Cast to float32) → Gemm with weight [[0], [1]] and bias 0 → logits [N, 2] = (0, z)
 *
 * Preconditions: the output is `logits` [N, 1], in single or half precision. The softmax of the two is (1 − sigmoid(z), sigmoid(z)).
 */
import { int } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { renameValues } from '../rewrite.js';
import { LOGITS } from './name-logits.js';

/** The pass. */
export function giveTwoClasses(): Pass {
  return { name: 'give-two-classes', apply: give };
}

const SECOND = 'logit_of_second';

function give(graph: Graph): Graph | undefined {
  const [output] = graph.outputs;
  if (output?.name !== LOGITS || output.dims.length !== 2 || output.dims[1] !== 1) return undefined;
  const [batch = 'N'] = output.dims;
  const builder = graphBuilder(renameValues(graph, (name) => (name === LOGITS ? SECOND : name)));
  const weight = builder.constant('two_classes.weight', 'float32', [2, 1], [0, 1]);
  // Optional since opset 11 only.
  const bias = builder.constant('two_classes.bias', 'float32', [2], [0, 0]);
  const toFloat = { attributes: { to: int(DATA_TYPE_CODES.float32) } };
  const second = output.dataType === 'float32' ? SECOND : builder.node('Cast', [SECOND], toFloat);
  builder.node('Gemm', [second, weight, bias], { name: 'two_classes', output: LOGITS, attributes: { transB: int(1) } });
  return builder.finish([{ name: LOGITS, dataType: 'float32', dims: [batch, 2] }]);
}
