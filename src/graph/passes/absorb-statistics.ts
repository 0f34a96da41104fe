/**
 * Make the statistics of a batch normalization part of its scale and shift.
 *
 *   Before: x → BatchNormalization γ, β, μ, σ², ε → y
 *   After:  s, t as nodes over the initializers;  x → BatchNormalization s, t, 0, 1, ε = 0 → y
 *
 * Precondition: γ, β, μ, σ² are initializers.
 *
 * Equal because γ·(x − μ) / √(σ² + ε) + β = s·x + t with s = γ / √(σ² + ε) and t = β − μ·s. An engine folds the nodes
 * once, at load. Half precision needs this pass (narrow-to-half.ts): a variance may be too small or too large for it,
 * but the scale computed from it is not. A normalization that is the only reader of a convolution belongs in its
 * weights (fold-batch-norm.ts).
 */
import { attribute, float } from '../attributes.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';

/** ONNX's default. */
const EPSILON = 1e-5;

/** The pass. */
export function absorbStatistics(): Pass {
  return { name: 'absorb-statistics', apply: absorb };
}

function absorb(graph: Graph): Graph | undefined {
  return rewriteNodes(graph, (node, draft) => {
    const [x = '', gamma = '', beta = '', mean = '', variance = ''] = node.inputs;
    const [channels] = graph.initializers.get(variance)?.dims ?? [];
    const isConstant = [gamma, beta, mean].every((name) => graph.initializers.has(name));
    if (node.op !== 'BatchNormalization' || channels === undefined || !isConstant) return node;

    const of = (what: string): string => `${node.name}.${what}`;
    const constant = (what: string, dims: readonly number[], values: readonly number[]): string =>
      draft.constant(of(what), 'float32', dims, values);
    const epsilon = constant('epsilon', [], [attribute(node, 'epsilon', 'float') ?? EPSILON]);
    const spread = draft.node('Add', [variance, epsilon], of('spread'));
    const deviation = draft.node('Sqrt', [spread], of('deviation'));
    const scale = draft.node('Div', [gamma, deviation], of('scale'));
    const offset = draft.node('Mul', [mean, scale], of('offset'));
    const shift = draft.node('Sub', [beta, offset], of('shift'));
    const zeros = constant('zeros', [channels], Array<number>(channels).fill(0));
    const ones = constant('ones', [channels], Array<number>(channels).fill(1));
    const inputs = [x, scale, shift, zeros, ones];
    return { ...node, inputs, attributes: { ...node.attributes, epsilon: float(0) } };
  });
}
