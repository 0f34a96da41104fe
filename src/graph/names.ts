/** Names that are new: for what builders, passes and the ONNX reader add. */
import type { Graph } from './graph.js';

/** A function that makes names which the graph does not have and which it has not made before. */
export function nameGiver(graph: Graph): (wanted: string) => string {
  return freshNames(namesOf(graph));
}

/**
 * A function that makes names which `taken` does not have: the wanted one, or that with the first suffix `_1`, `_2`, …
 * that is free. It adds them to `taken`.
 */
export function freshNames(taken: Set<string>): (wanted: string) => string {
  /** The last suffix given to a name: thousands of nodes may want the same one. */
  const suffixes = new Map<string, number>();
  return (wanted) => {
    let name = wanted;
    let suffix = suffixes.get(wanted) ?? 0;
    while (taken.has(name)) name = `${wanted}_${(suffix += 1)}`;
    suffixes.set(wanted, suffix);
    taken.add(name);
    return name;
  };
}

/** The names of a graph's values and nodes. */
export function namesOf({ inputs, initializers, nodes }: Graph): Set<string> {
  return new Set([
    ...inputs.map(({ name }) => name),
    ...initializers.keys(),
    ...nodes.flatMap((node) => [node.name, ...node.outputs]),
  ]);
}
