/**
 * Give logits to a classifier that computes its probabilities in a way of its own.
 *
 *   Before: … → logits [N, K] = p
 *   After:  … → p → (Cast to float32) → Relu → Add ε → Log → logits [N, K] = log p; of one number log p − log(1 − p)
 *
 * Preconditions: the output is `logits`, and its numbers are from 0 to 1; those of several classes sum to 1. Relu and ε keep the
 * logarithm finite where rounding gives 0 or less.
 *
 * The probabilities stay the same: softmax(log p) = p / Σ p = p, and sigmoid(log p − log(1 − p)) = p.
 */
import { int } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { renameValues } from '../rewrite.js';
import { LOGITS } from './name-logits.js';

/** The pass. */
export function giveLogits(): Pass {
  return { name: 'give-logits', apply: give };
}

const PROBABILITIES = 'probabilities_of_file';
/** Far below every probability that means something, far above the smallest float32. */
const EPSILON = 1e-30;

function give(graph: Graph): Graph | undefined {
  const [output] = graph.outputs;
  if (output?.name !== LOGITS) return undefined;
  const builder = graphBuilder(renameValues(graph, (name) => (name === LOGITS ? PROBABILITIES : name)));
  const toFloat = { attributes: { to: int(DATA_TYPE_CODES.float32) } };
  const p = output.dataType === 'float32' ? PROBABILITIES : builder.node('Cast', [PROBABILITIES], toFloat);
  const epsilon = builder.constant('probability_epsilon', 'float32', [], [EPSILON]);
  const log = (value: string, name?: string): string =>
    builder.node('Log', [builder.node('Add', [builder.node('Relu', [value]), epsilon])], name ? { output: name } : {});
  if (output.dims[1] === 1) {
    const rest = builder.node('Sub', [builder.constant('certainty', 'float32', [], [1]), p]);
    builder.node('Sub', [log(p), log(rest)], { output: LOGITS });
  } else {
    log(p, LOGITS);
  }
  return builder.finish([{ ...output, dataType: 'float32' }]);
}
