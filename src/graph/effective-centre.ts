/**
 * Where the cells of a map really look. The middle of a receptive field (geometry.ts) is where a cell looks whose kernels
 * use all of their windows alike. A net that halves an even side cannot place its cells evenly: all of them sit half a
 * step too far to one side, by the convention of its padding. Training moves the weight inside of the kernels until the
 * cells look where they should: EfficientNet-Lite0 by 15 of the 16 pixels, a ResNet-18 by 6 of 8.
 *
 * A kernel's centre is the centre of mass of its squared weights, since output and gradient of a cell have variances in
 * their proportion (Luo 2016, "Understanding the effective receptive field", §2). Centres add up along the net, each times
 * the pixels between its cells, as paddings do.
 */
import { followFields, mapGeometry, type KernelCentres } from './geometry.js';
import type { Graph } from './graph.js';

/** In parts of the output stride, and in standard errors: what is less may as well be chance, as in untrained nets. */
const NOTABLE = 1 / 16;
const SIGNIFICANT = 3;

/**
 * Where cell 0 of the map `valueName` looks, in pixel edges, alike along both axes and to a hundredth. It is the offset of mapGeometry where
 * no centre is known or the difference is not worth noting. Throws GraphError as mapGeometry does.
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
