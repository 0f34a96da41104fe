/** The class map [N, K, h, w] that a convolutionalized graph ends in: what the passes that finish a graph start from. */
import type { Graph } from '../graph.js';

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
