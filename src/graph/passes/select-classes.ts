/**
 * Finish the dense view inside the graph: only the requested ones of all K class maps leave the session (all 1000 of a
 * 140×140 map are 78 MB).
 *
 *   Before: … → class map [N, K, h, w]
 *   After:  … → class map, classes int64 [N, C] → logits, classes_selected, class_logits, log_normalizer, best_class,
 *           best_logit
 *
 * Precondition: the only output is a map with a fixed number of classes. Nothing is approximated: at each position the
 * probability of class k is exp(class_logits[k] / T − log_normalizer), with log Σ_k exp(z_k / T) = m / T + log Σ_k exp((z_k − m) / T)
 * and T = 1 unless the model has another temperature. Logits stay as they are.
 *
 * A class below K is an index; K + r stands for the image's own r-th best class by mean logit, which only the network
 * knows. Both are looked up in the list [0, …, K−1, best, second best, …].
 *
 * The maximum and the sum run over a transposed map [N, h, w, K], which is faster. Measured on onnxruntime's CPU with
 * one thread, K = 1000, 140×140: TopK and the sum take 31 ms over the last axis, transposition included, and 108 ms
 * over the channel axis. ReduceMax and ArgMax in place of TopK take 123 ms, ReduceLogSumExp takes 153 ms (40×40: 1.4,
 * 2.3, 2.7 and 6.5 ms).
 */
import { int, ints } from '../attributes.js';
import { graphBuilder, type GraphBuilder } from '../build.js';
import { ALL_CELLS, averageCells, classMapOf, type ClassMap, type WindowCells } from '../class-map.js';
import type { Graph, ValueInfo } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { LOGITS } from './name-logits.js';

/** Name of the input: int64 [N, C]; class indices below K, or K + r for the image's r-th best class, r < ranks. */
export const CLASSES_INPUT = 'classes';

const DEFAULT_RANKS = 32;

export interface SelectClassesOptions {
  /** How many of the image's own best classes can be asked for; capped at the number of classes. Default 32. */
  readonly ranks?: number;
  /** The cells whose mean classifies the image; default: all cells. */
  readonly cells?: WindowCells;
  /** T above. Default: 1. */
  readonly temperature?: number | undefined;
}

/** The pass. */
export function selectClasses(options: SelectClassesOptions = {}): Pass {
  return {
    name: 'select-classes',
    apply(graph) {
      const map = classMapOf(graph);
      return map === undefined ? undefined : select(graph, map, options);
    },
  };
}

/**
 * The outputs: the image's logits (the mean over space), the indices and maps of the selected classes, and the
 * log-normalizer and the best class at every position.
 */
function outputsOf(classes: number): ValueInfo[] {
  return [
    { name: LOGITS, dataType: 'float32', dims: ['N', classes] },
    { name: 'classes_selected', dataType: 'int64', dims: ['N', 'C'] },
    { name: 'class_logits', dataType: 'float32', dims: ['N', 'C', 'h', 'w'] },
    { name: 'log_normalizer', dataType: 'float32', dims: ['N', 1, 'h', 'w'] },
    { name: 'best_class', dataType: 'int32', dims: ['N', 'h', 'w'] },
    { name: 'best_logit', dataType: 'float32', dims: ['N', 'h', 'w'] },
  ];
}

function select(
  graph: Graph,
  { name: map, classes }: ClassMap,
  { ranks = DEFAULT_RANKS, cells = ALL_CELLS, temperature = 1 }: SelectClassesOptions,
): Graph {
  const builder = graphBuilder(graph);
  builder.input(CLASSES_INPUT, 'int64', ['N', 'C']);
  averageCells(builder, map, cells, LOGITS);
  const selected = resolveClasses(builder, LOGITS, { classes, ranks: Math.min(ranks, classes) });
  const last = builder.constant('last_axis', 'int64', [1], [-1]);
  const indices = builder.node('Unsqueeze', [selected, last], { name: 'class_indices' });
  builder.node('GatherND', [map, indices], { name: 'class_logits', attributes: { batch_dims: int(1) } });
  reducePositions(builder, map, last, temperature);
  return builder.finish(outputsOf(classes));
}

/** classes [N, C] → indices below K: looked up in [0, …, K−1, best, second best, …] of each image. */
function resolveClasses(builder: GraphBuilder, logits: string, { classes, ranks }: { classes: number; ranks: number }) {
  const all = Array.from({ length: classes }, (_, index) => index);
  const indices = builder.constant('class_range', 'int64', [1, classes], all);
  const shape = builder.node('Shape', [logits], { name: 'logits_shape' });
  const ownIndices = builder.node('Expand', [indices, shape], { name: 'class_range_per_image' });
  const count = builder.constant('ranks', 'int64', [1], [ranks]);
  const [, best = ''] = builder.nodes('TopK', [logits, count], 2, { name: 'image_best', attributes: { axis: int(1) } });
  const lookup = builder.node('Concat', [ownIndices, best], { name: 'class_lookup', attributes: { axis: int(1) } });
  const name = 'classes_selected';
  return builder.node('GatherElements', [lookup, CLASSES_INPUT], { name, attributes: { axis: int(1) } });
}

/** map [N, K, h, w] → best_logit, best_class [N, h, w] and log_normalizer [N, 1, h, w]. */
function reducePositions(builder: GraphBuilder, map: string, last: string, temperature: number): void {
  const one = builder.constant('one', 'int64', [1], [1]);
  const byPosition = builder.node('Transpose', [map], { name: 'by_position', attributes: { perm: ints(0, 2, 3, 1) } });
  const [max = '', argMax = ''] = builder.nodes('TopK', [byPosition, one], 2, {
    name: 'position_best',
    attributes: { axis: int(3) },
  });
  const bestLogit = builder.node('Squeeze', [max, last], { name: 'best_logit' });
  const best = builder.node('Squeeze', [argMax, last], { name: 'best_class_wide' });
  // Half the bytes on the way out.
  builder.node('Cast', [best], { name: 'best_class', attributes: { to: int(DATA_TYPE_CODES.int32) } });
  const factor =
    temperature === 1 ? undefined : builder.constant('inverse_temperature', 'float32', [], [1 / temperature]);
  const scaled = (value: string): string =>
    factor === undefined ? value : builder.node('Mul', [value, factor], { name: `${value}_scaled` });
  const below = scaled(builder.node('Sub', [byPosition, max], { name: 'below_best' }));
  const terms = builder.node('Exp', [below], { name: 'exp_below_best' });
  const sum = builder.node('ReduceSum', [terms, last], { name: 'exp_sum', attributes: { keepdims: int(0) } });
  const logSum = builder.node('Add', [builder.node('Log', [sum], { name: 'log_sum' }), scaled(bestLogit)], {
    name: 'log_sum_exp',
  });
  builder.node('Unsqueeze', [logSum, one], { name: 'log_normalizer' });
}
