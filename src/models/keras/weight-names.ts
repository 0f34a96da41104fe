/**
 * Which weight of a file a layer's weight is. Its name is `layer/weight` or, for a layer in a nested model, perhaps with the
 * models around it; files of TensorFlow 2.2 and later may have one more part before the last. Source: loadWeights in
 * tfjs-layers' container.ts.
 */
import { GraphError } from '../../graph/graph-error.js';
import type { Weight } from './layer.js';

export interface WeightFinder {
  /**
   * The weight of the layer at this path; undefined where the file has none. Throws GraphError when it is another
   * layer's already.
   */
  find(path: readonly string[], name: string): Weight | undefined;
}

/** `weights`: dimensions by name. */
export function weightFinder(weights: ReadonlyMap<string, readonly number[]>): WeightFinder {
  const shortened = new Map([...weights.keys()].map((name) => [shorten(name), name]));
  const owners = new Map<string, string>();
  return {
    find(path, weight) {
      const wanted = [`${path.join('/')}/${weight}`, `${path.at(-1)!}/${weight}`];
      const name =
        wanted.find((known) => weights.has(known)) ?? wanted.map((known) => shortened.get(known)).find(Boolean);
      if (name === undefined) return undefined;
      const layer = path.join('/');
      const owner = owners.get(name) ?? layer;
      if (owner !== layer) throw new GraphError(`weight "${name}": belongs to both "${owner}" and "${layer}"`);
      owners.set(name, layer);
      return { name, dims: weights.get(name)! };
    },
  };
}

/** `a/b/c/kernel` → `a/b/kernel`. */
function shorten(name: string): string {
  return name.split('/').toSpliced(-2, 1).join('/');
}
