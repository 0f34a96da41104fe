/**
 * Leave out the softmax or the sigmoid that a classifier ends in: sessions return logits.
 *
 *   Before: z → Softmax | LogSoftmax | Sigmoid → (Reshape, Transpose, Cast, QuantizeLinear, Clip, …) → output
 *   After:  z → (the same, without QuantizeLinear, DequantizeLinear and Clip) → output
 *
 * Preconditions: there is one output; only such nodes stand between the activation and it, each the only reader of the one
 * before; a Clip cuts off next to nothing of 0 to 1; a softmax is over all K numbers of an image. What a file spells out has become
 * one node before (merge-activations.ts).
 *
 * The probabilities stay the same: they are softmax(z), and softmax(log softmax(z)) = softmax(z) because z and log
 * softmax(z) differ by a constant for each image; or sigmoid(z). Without their rounding to 8 bits they are more exact. Source:
 * ONNX operators Softmax and Sigmoid; before opset 13 a softmax is over all axes from `axis` on.
 */
import { elementCount } from '../../tensor.js';
import { attribute } from '../attributes.js';
import { tailOf } from '../classifier-head.js';
import { floatValues } from '../constants.js';
import type { DataType, Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind, onlyRearranges } from '../operators.js';
import type { Pass } from '../pass.js';
import { bypassAll } from '../rewrite.js';

/** What a graph computes last. What a log-softmax gives are logits too. */
export type OutputActivation = 'softmax' | 'log-softmax' | 'sigmoid';

const ACTIVATIONS: ReadonlyMap<string, OutputActivation> = new Map([
  ['Softmax', 'softmax'],
  ['LogSoftmax', 'log-softmax'],
  ['Sigmoid', 'sigmoid'],
]);

/** What a classifier of this native size ends in; undefined if it is none of these. */
export function outputActivation(graph: Graph, nativeSize: NativeSize): OutputActivation | undefined {
  return find(graph, nativeSize)?.activation;
}

/** The pass for a classifier of this native size. */
export function dropOutputActivation(nativeSize: NativeSize): Pass {
  return {
    name: 'drop-output-activation',
    apply(graph) {
      const found = find(graph, nativeSize);
      if (found === undefined) return undefined;
      const without = bypassAll(graph, (node) => found.nodes.includes(node));
      const outputs = without?.outputs.map((output) => ({ ...output, dataType: floatOf(output.dataType) }));
      return outputs && { ...without!, outputs };
    },
  };
}

/** An output that was rounded to 8 bits is rounded no more. */
function floatOf(dataType: DataType): DataType {
  return dataType === 'uint8' || dataType === 'int8' ? 'float32' : dataType;
}

interface Found {
  readonly activation: OutputActivation;
  /** The activation, and those behind it that only mean something for probabilities. */
  readonly nodes: readonly Node[];
}

function find(graph: Graph, nativeSize: NativeSize): Found | undefined {
  const nodes: Node[] = [];
  for (const node of tailOf(graph)) {
    if (onlyRearranges(node) || isOfKind(node, 'cast', 'identity')) continue;
    nodes.push(node);
    if (isRounding(node) || cutsNothing(graph, node)) continue;
    const activation = ACTIVATIONS.get(node.op);
    const ends = activation === 'sigmoid' || (activation !== undefined && isOverClasses(graph, node, nativeSize));
    return ends ? { activation, nodes } : undefined;
  }
  return undefined;
}

function isRounding({ op }: Node): boolean {
  return op === 'QuantizeLinear' || op === 'DequantizeLinear';
}

/** A Clip of probabilities to, e.g., 1e-7 to 1 − 1e-7. */
function cutsNothing(graph: Graph, node: Node): boolean {
  if (node.op !== 'Clip') return false;
  const bound = (name: 'min' | 'max', input: number): number | undefined => {
    const given = node.inputs[input] ?? '';
    if (given === '') return attribute(node, name, 'float');
    const constant = graph.initializers.get(given);
    return constant === undefined ? NaN : (floatValues(constant)?.[0] ?? NaN);
  };
  return (bound('min', 1) ?? 0) <= 0.001 && (bound('max', 2) ?? 1) >= 0.999;
}

function isOverClasses(graph: Graph, softmax: Node, nativeSize: NativeSize): boolean {
  const [output = ''] = softmax.outputs;
  const declared = graph.outputs.find(({ name }) => name === output)?.dims;
  const dims =
    nativeShapes(graph, nativeSize).get(output) ?? declared?.map((dim) => (typeof dim === 'number' ? dim : 1));
  if (dims === undefined || dims.length < 2) return false;
  const flattens = graph.opset < 13;
  const axis = attribute(softmax, 'axis', 'int') ?? (flattens ? 1 : -1);
  const normalized = flattens ? elementCount(dims.slice(axis)) : (dims.at(axis) ?? 0);
  return normalized === elementCount(dims.slice(1));
}
