/**
 * Where the cells of a map really look. A cell looks at the middle of its receptive field (geometry.ts) if its kernels
 * use all of their windows alike. A net that halves an even side cannot place its cells evenly: the convention of its
 * padding puts all of them half a step too far to one side. Training moves the weight inside the kernels until the
 * cells look where they should: by 15 of the 16 pixels in EfficientNet-Lite0, by 6 of 8 in a ResNet-18.
 *
 * A kernel's centre is the centre of mass of its squared weights, because the variances of a cell's output and gradient
 * are proportional to them (Luo 2016, "Understanding the effective receptive field", §2). Centres add up along the net
 * as paddings do, each multiplied by the pixels between its cells.
 */
import { followFields, mapGeometry, type KernelCentres } from './geometry.js';
import type { Graph } from './graph.js';

/**
 * The least notable difference, in parts of the output stride and in standard errors. A smaller one may be chance, as
 * in untrained nets.
 */
const NOTABLE = 1 / 16;
const SIGNIFICANT = 3;

/**
 * Where cell 0 of the map `valueName` looks, in pixel edges, the same along both axes, rounded to a hundredth. The
 * offset of mapGeometry if no centre is known or the difference from it is not notable. Throws GraphError as
 * mapGeometry does.
 */
export function effectiveOffset(graph: Graph, valueName: string, centres: KernelCentres): number {
  const { offset, outputStride } = mapGeometry(graph, valueName);
  const fields = followFields(graph, valueName, centres)
    .get(valueName)!
    .filter((field) => field !== undefined);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const effective = mean(fields.map(({ start, size }) => start + size / 2));
  const deviation = Math.sqrt(mean(fields.map(({ variance }) => variance)));
  const least = Math.max(NOTABLE * outputStride, SIGNIFICANT * deviation);
  return Math.abs(effective - offset) < least ? offset : Math.round(effective * 100) / 100;
}
