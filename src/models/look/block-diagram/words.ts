/**
 * Layers in the words of papers: `conv 3×3, 64, stride 2`, `BN`, `ReLU`. What has no word of its own keeps the name of its
 * ONNX operator.
 */
import { attribute } from '../../../graph/attributes.js';
import { floatValues } from '../../../graph/constants.js';
import type { Graph, Node } from '../../../graph/graph.js';
import type { Layer } from '../layers.js';

const WORDS: ReadonlyMap<string, string> = new Map([
  ['BatchNormalization', 'BN'],
  ['Elu', 'ELU'],
  ['Flatten', 'flatten'],
  ['Gelu', 'GELU'],
  ['GlobalAveragePool', 'global average pool'],
  ['GlobalMaxPool', 'global max pool'],
  ['GridSample', 'sample at places'],
  ['HardSigmoid', 'hard sigmoid'],
  ['HardSwish', 'hard swish'],
  ['LeakyRelu', 'leaky ReLU'],
  ['PRelu', 'PReLU'],
  ['Pad', 'pad'],
  ['Relu', 'ReLU'],
  ['Reshape', 'reshape'],
  ['Selu', 'SELU'],
  ['Sigmoid', 'sigmoid'],
  ['Slice', 'slice'],
  ['Softmax', 'softmax'],
  ['Tanh', 'tanh'],
  ['Transpose', 'transpose'],
]);

/** Operators of two or more maps, as the signs in their circles. */
const SIGNS: ReadonlyMap<string, string> = new Map([
  ['Add', '+'],
  ['Concat', 'concat'],
  ['Div', '÷'],
  ['Max', 'max'],
  ['Mean', 'mean'],
  ['Min', 'min'],
  ['Mul', '×'],
  ['Sub', '−'],
  ['Sum', '+'],
]);

/** The sign of a node that joins maps; undefined for a layer. */
export function signOf({ op }: Node): string | undefined {
  return SIGNS.get(op);
}

/** A layer in words. `layer` is the node's entry of layersOf(graph). */
export function wordsOf(node: Node, layer: Layer, graph: Graph): string {
  const weight = graph.initializers.get(node.inputs[1] ?? '');
  switch (node.op) {
    case 'Conv':
      return convolutionWords(layer, weight?.dims);
    case 'MaxPool':
    case 'AveragePool':
      return [`${node.op === 'MaxPool' ? 'max' : 'average'} pool ${kernelOf(layer)}`, ...stepsOf(layer)].join(', ');
    case 'Gemm':
    case 'MatMul':
      return weight === undefined ? 'matrix product' : `fully connected, ${layer.output?.at(-1) ?? '?'}`;
    case 'Clip':
      return clipWords(node, graph);
    case 'Add':
    case 'Div':
    case 'Mul':
    case 'Sub':
      return arithmeticWords(node, graph);
    default:
      return WORDS.get(node.op) ?? node.op;
  }
}

function convolutionWords(layer: Layer, weight: readonly number[] | undefined): string {
  const [out, perGroup] = weight ?? [];
  const { groups = 1 } = layer.window ?? {};
  const isDepthwise = groups > 1 && perGroup === 1;
  return [
    `${isDepthwise ? 'depthwise conv' : 'conv'} ${kernelOf(layer)}`.trim(),
    String(out ?? layer.output?.[0] ?? '?'),
    ...(groups > 1 && !isDepthwise ? [`${groups} groups`] : []),
    ...stepsOf(layer),
  ].join(', ');
}

const kernelOf = ({ window }: Layer): string => window?.kernel.join('×') ?? '';

function stepsOf({ window }: Layer): string[] {
  const { stride = [], dilation = [] } = window ?? {};
  return [stepWords('stride', stride), stepWords('dilation', dilation)].filter((text) => text !== '');
}

function stepWords(name: string, steps: readonly number[]): string {
  if (steps.every((step) => step === 1)) return '';
  return `${name} ${new Set(steps).size === 1 ? steps[0]! : steps.join('×')}`;
}

/** Its bounds are inputs from operator set 11 on, and attributes before. */
function clipWords(node: Node, graph: Graph): string {
  const low = attribute(node, 'min', 'float') ?? scalarOf(graph, node.inputs[1]);
  const high = attribute(node, 'max', 'float') ?? scalarOf(graph, node.inputs[2]);
  return low === 0 && high === 6 ? 'ReLU6' : 'clip';
}

/** Of a map and a constant: a number if it is one. */
function arithmeticWords({ op, inputs: [left, right] }: Node, graph: Graph): string {
  const [before, behind] = [scalarOf(graph, left), scalarOf(graph, right)].map((value) =>
    value === undefined ? undefined : String(Number(value.toPrecision(3))),
  );
  const sign = SIGNS.get(op)!;
  if (left === right) return `it ${sign} itself`;
  if (behind !== undefined) return `${sign} ${behind}`;
  if (before !== undefined) return op === 'Add' || op === 'Mul' ? `${sign} ${before}` : `${before} ${sign} it`;
  return op === 'Mul' || op === 'Div' ? 'scale' : 'shift';
}

function scalarOf({ initializers }: Graph, name: string | undefined): number | undefined {
  const initializer = initializers.get(name ?? '');
  if (initializer === undefined || initializer.dims.some((dim) => dim !== 1)) return undefined;
  return floatValues(initializer)?.[0];
}
