/**
 * The class map [N, K, h, w] that a convolutionalized graph ends in. The passes that finish a graph find the map here
 * and add the mean of its cells, which is the logits.
 */
import { int } from './attributes.js';
import type { GraphBuilder } from './build.js';
import type { Graph } from './graph.js';

export interface ClassMap {
  /** Name of the value. */
  readonly name: string;
  /** K. */
  readonly classes: number;
}

/** The graph's class map; undefined when its only output is not a map with a fixed number of classes. */
export function classMapOf({ outputs }: Graph): ClassMap | undefined {
  const [output, ...others] = outputs;
  const classes = output?.dims[1];
  if (output?.dims.length !== 4 || others.length > 0 || typeof classes !== 'number') return undefined;
  return { name: output.name, classes };
}

/**
 * The cells of a class map that the original classifier has too: every `step`-th cell from `begin` on, without the last
 * `end`. The other cells come from finer strides (reduce-output-stride.ts) and padded heads (pad-head.ts).
 */
export interface WindowCells {
  readonly begin: number;
  readonly end: number;
  readonly step: number;
}

export const ALL_CELLS: WindowCells = { begin: 0, end: 0, step: 1 };

/** Add the mean of those cells, [N, K], as the value `output`: the logits of the image. */
export function averageCells(
  builder: GraphBuilder,
  map: string,
  { begin, end, step }: WindowCells,
  output: string,
): void {
  const axes = builder.constant('spatial_axes', 'int64', [2], [2, 3]);
  const cells =
    begin === 0 && end === 0 && step === 1
      ? map
      : builder.node(
          'Slice',
          [
            map,
            builder.constant('first_cell', 'int64', [2], [begin, begin]),
            builder.constant('end_cell', 'int64', [2], end === 0 ? [TO_THE_END, TO_THE_END] : [-end, -end]),
            axes,
            builder.constant('cell_step', 'int64', [2], [step, step]),
          ],
          { name: 'window_cells' },
        );
  builder.node('ReduceMean', [cells, axes], { name: 'mean_logits', output, attributes: { keepdims: int(0) } });
}

const TO_THE_END = Number.MAX_SAFE_INTEGER;
