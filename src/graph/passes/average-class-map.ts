/**
 * Classify an image of any size by the mean of its class map.
 *
 *   Before: … → class map [N, K, h, w]
 *   After:  … → class map → ReduceMean over h, w → logits [N, K]
 *
 * Precondition: the only output is a map with a fixed number of classes.
 *
 * Equal to the classifier at any size for a net with global average pooling, and at the native size for a fully
 * connected head, whose map is one cell there. Above that size the mean defines the classification (Simonyan 2015
 * §3.2).
 */
import { graphBuilder } from '../build.js';
import { ALL_CELLS, averageCells, classMapOf } from '../class-map.js';
import type { Pass } from '../pass.js';
import { LOGITS } from './name-logits.js';

/** The pass. */
export function averageClassMap(): Pass {
  return {
    name: 'average-class-map',
    apply(graph) {
      const map = classMapOf(graph);
      if (map === undefined) return undefined;
      const builder = graphBuilder(graph);
      averageCells(builder, map.name, ALL_CELLS, LOGITS);
      return builder.finish([{ name: LOGITS, dataType: 'float32', dims: ['N', map.classes] }]);
    },
  };
}
