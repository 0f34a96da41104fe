/**
 * Finds the weight of a layer in a file. Its name is `layer/weight`; for a layer in a nested model the names of the
 * outer models may precede it. Files of TensorFlow 2.2 and later may have one more part before the last. Source:
 * loadWeights in tfjs-layers' container.ts.
 */
import { GraphError } from '../../graph/graph-error.js';
import type { Weight } from './layer.js';

export interface WeightFinder {
  /**
   * The weight of the layer at this path; undefined if the file has none. Throws GraphError if the weight belongs to
   * another layer already.
   */
  find(path: readonly string[], name: string): Weight | undefined;
}

/** `weights` holds the dimensions of the file's weights by name. */
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
