/**
 * Make the statistics of a batch normalization part of its scale and shift.
 *
 *   Before: x → BatchNormalization γ, β, μ, σ², ε → y
 *   After:  s, t as nodes over the initializers;  x → BatchNormalization s, t, 0, 1, ε = 0 → y
 *
 * Precondition: γ, β, μ, σ² are initializers.
 *
 * Equal because γ·(x − μ) / √(σ² + ε) + β = s·x + t with s = γ / √(σ² + ε) and t = β − μ·s. An engine folds the nodes once,
 * at load. What needs this is half precision (narrow-to-half.ts): a variance may be too small or too large for it, the
 * scale that comes of it is not. What a convolution feeds alone belongs into its weights (fold-batch-norm.ts).
 */
import { attribute, float } from '../attributes.js';
import { nameGiver } from '../build.js';
import { inlineConstant } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { prune } from '../rewrite.js';

/** ONNX's default. */
const EPSILON = 1e-5;

/** The pass. */
export function absorbStatistics(): Pass {
  return { name: 'absorb-statistics', apply: absorb };
}

function absorb(graph: Graph): Graph | undefined {
  const fresh = nameGiver(graph);
  const initializers = new Map<string, Initializer>(graph.initializers);
  const constant = (wanted: string, dims: readonly number[], values: readonly number[]): string => {
    const name = fresh(wanted);
    initializers.set(name, inlineConstant(name, 'float32', dims, values));
    return name;
  };
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const [x = '', gamma = '', beta = '', mean = '', variance = ''] = node.inputs;
    const [channels] = graph.initializers.get(variance)?.dims ?? [];
    const isConstant = [gamma, beta, mean].every((name) => graph.initializers.has(name));
    if (node.op !== 'BatchNormalization' || channels === undefined || !isConstant) return [node];

    const steps: Node[] = [];
    const step = (op: string, inputs: readonly string[], wanted: string): string => {
      const name = fresh(`${node.name}.${wanted}`);
      steps.push({ op, name, inputs, outputs: [name], attributes: {} });
      return name;
    };
    const epsilon = constant(`${node.name}.epsilon`, [], [attribute(node, 'epsilon', 'float') ?? EPSILON]);
    const deviation = step('Sqrt', [step('Add', [variance, epsilon], 'spread')], 'deviation');
    const scale = step('Div', [gamma, deviation], 'scale');
    const shift = step('Sub', [beta, step('Mul', [mean, scale], 'offset')], 'shift');
    const zeros = constant(`${node.name}.zeros`, [channels], Array<number>(channels).fill(0));
    const ones = constant(`${node.name}.ones`, [channels], Array<number>(channels).fill(1));
    const inputs = [x, scale, shift, zeros, ones];
    return [...steps, { ...node, inputs, attributes: { ...node.attributes, epsilon: float(0) } }];
  });
  return nodes.length === graph.nodes.length ? undefined : prune({ ...graph, nodes, initializers });
}
