/** What a classifier costs. */
import { countMultiplyAdds } from '../graph/cost.js';
import { nativeShapes } from '../graph/native-shapes.js';
import type { Network } from '../models/networks/network.js';

/** Multiply-adds of the classifier as it was published, for one image of its native size. */
export function nativeCost({ classifier, nativeSize }: Pick<Network, 'classifier' | 'nativeSize'>): number {
  return countMultiplyAdds(classifier, nativeShapes(classifier, nativeSize));
}
