/**
 * Facts about each ONNX operator, in one table. Rules and passes ask for a fact ("does it work element by element?")
 * and keep no lists of names. An operator that is not here has no facts: its caller takes the safe way.
 *
 * Source: the ONNX operator specifications, opset 18. test/unit/graph/operators.test.ts checks the table against
 * onnxruntime and against the shape rules.
 */
import type { Node } from './graph.js';

/** What one number of the result is computed from. Every operator has one kind. */
export type OperatorKind =
  /** The same number; y = x when a net is only evaluated. */
  | 'identity'
  /** The same number in another type. */
  | 'cast'
  /** The number at the same place, in the same way at all places. */
  | 'elementwise'
  /** The number at the same place, in a way that depends on the channel (axis 1). */
  | 'by-channel'
  /** The numbers of all operands at the same place, after broadcasting. */
  | 'broadcast'
  /** All channels at the same place. */
  | 'across-channels'
  /** All numbers along the axis that an attribute names. */
  | 'along-axis'
  /** All of a channel's map; the result has a number for each place. */
  | 'over-map'
  /** The numbers of several axes; the result has the shape of the input. */
  | 'normalization'
  /** A window that slides over the map. */
  | 'window'
  /** The numbers of a channel's map around places that another input says. */
  | 'sampling'
  /** All of a channel's map; the result has one number for it. */
  | 'global-pool'
  /** A row and a column: matrix products. */
  | 'product'
  /** All numbers along axes that disappear or become 1. */
  | 'reduction'
  /** The places of the largest or smallest numbers along an axis. */
  | 'ranking'
  /** The same numbers in the same order, under other dimensions. */
  | 'view'
  /** The same numbers in the order of other axes. */
  | 'transposition'
  /** One of the numbers of an input, or a constant: pieces that are cut, joined, repeated or padded. */
  | 'pieces'
  /** No number of the input: constants and sizes. */
  | 'source';

export interface OperatorFacts {
  readonly kind: OperatorKind;
  /** The first output has the type of the first input. */
  readonly keepsType: boolean;
  /**
   * Half precision is enough. This holds for layers (engines add up their products in single precision), for
   * cell-by-cell operators whose results are no larger than their inputs or are sums or products of two, and for
   * operators that only move or choose values.
   */
  readonly suitsHalf: boolean;
  /** The shape rules know the values of its results if its inputs are sizes (shape-rules.ts). */
  readonly takesSizes: boolean;
}

/** Facts: `type` = keepsType, `half` = suitsHalf, `sizes` = takesSizes. Every operator stands in one row. */
const ROWS: readonly (readonly [kind: OperatorKind, facts: string, operators: string])[] = [
  ['identity', 'type half sizes', 'Identity'],
  ['identity', 'type half', 'Dropout'],
  ['cast', 'sizes', 'Cast'],
  ['elementwise', 'type half', 'Abs Celu Clip Elu HardSigmoid HardSwish LeakyRelu Neg Relu Selu Sigmoid Softsign Tanh'],
  ['elementwise', 'type half', 'ThresholdedRelu'],
  ['elementwise', 'type', 'Ceil Cos Erf Exp Floor Gelu Log Mish Not Reciprocal Round Sign Sin Softplus Sqrt'],
  ['by-channel', 'type half', 'BatchNormalization'],
  ['by-channel', '', 'DequantizeLinear QuantizeLinear'],
  ['broadcast', 'type half sizes', 'Add Div Mul Sub'],
  ['broadcast', 'type half', 'Max Min PRelu Sum'],
  ['broadcast', 'type', 'And Mean Mod Or Pow Xor'],
  ['broadcast', '', 'Equal Greater GreaterOrEqual Less LessOrEqual Where'],
  ['across-channels', 'type', 'LRN'],
  ['along-axis', 'type', 'Hardmax LogSoftmax Softmax'],
  ['over-map', 'type', 'InstanceNormalization'],
  ['normalization', 'type', 'GroupNormalization LayerNormalization LpNormalization MeanVarianceNormalization'],
  ['window', 'type half', 'AveragePool Conv MaxPool'],
  ['window', 'type', 'LpPool'],
  ['sampling', 'type', 'GridSample'],
  ['global-pool', 'type half', 'GlobalMaxPool'],
  ['global-pool', 'type', 'GlobalAveragePool GlobalLpPool'],
  ['product', 'type half', 'Gemm MatMul'],
  ['reduction', 'type', 'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd'],
  ['reduction', 'type', 'ReduceSum ReduceSumSquare'],
  ['ranking', 'type', 'TopK'],
  ['ranking', '', 'ArgMax ArgMin'],
  ['view', 'type half sizes', 'Reshape Squeeze Unsqueeze'],
  ['view', 'type half', 'Flatten'],
  ['transposition', 'type half', 'Transpose'],
  ['pieces', 'type half sizes', 'Concat Gather Slice'],
  ['pieces', 'type half', 'Expand Pad Split'],
  ['pieces', 'type', 'GatherElements GatherND Tile'],
  ['source', 'type sizes', 'Range'],
  ['source', 'sizes', 'Shape'],
  ['source', '', 'Constant ConstantOfShape'],
];

/** The facts by operator name. */
export const OPERATOR_FACTS: ReadonlyMap<string, OperatorFacts> = new Map(
  ROWS.flatMap(([kind, facts, operators]) => {
    const has = new Set(facts.split(' '));
    const row = { kind, keepsType: has.has('type'), suitsHalf: has.has('half'), takesSizes: has.has('sizes') };
    return operators.split(' ').map((op) => [op, row] as const);
  }),
);

/** Whether a node is of one of these kinds: `isOfKind(node, 'view', 'transposition')`. False for unknown operators. */
export function isOfKind({ op }: Pick<Node, 'op'>, ...kinds: readonly OperatorKind[]): boolean {
  const kind = OPERATOR_FACTS.get(op)?.kind;
  return kind !== undefined && kinds.includes(kind);
}

/** The operators of these kinds. */
export function operatorsOfKind(...kinds: readonly OperatorKind[]): readonly string[] {
  return [...OPERATOR_FACTS].filter(([, { kind }]) => kinds.includes(kind)).map(([op]) => op);
}

/**
 * Whether every cell of a map keeps its place through a node, if the other operands are constants or maps of the same
 * geometry.
 */
export function keepsPlaces(node: Pick<Node, 'op'>): boolean {
  return isOfKind(node, 'identity', 'cast', 'elementwise', 'by-channel', 'broadcast', 'across-channels', 'over-map');
}

/** Whether a node may read a whole map for one number, as squeeze and excitation does. */
export function readsWholeMap(node: Pick<Node, 'op'>): boolean {
  return isOfKind(node, 'global-pool', 'reduction', 'over-map');
}

/** Whether a node only reshapes or transposes: it changes no number. */
export function onlyRearranges(node: Pick<Node, 'op'>): boolean {
  return isOfKind(node, 'view', 'transposition');
}
