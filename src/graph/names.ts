/**
 * Fresh names for the values and nodes that builders, passes and the ONNX reader add. A name is fresh if no value and
 * no node has it; a suffix `_1`, `_2`, … makes it so.
 */
import type { Graph } from './graph.js';

/** A function that returns fresh names: the graph does not have them, and the function has not returned them before. */
export function nameGiver(graph: Graph): (wanted: string) => string {
  return freshNames(namesOf(graph));
}

/**
 * A function that returns the wanted name or, if `taken` has it, the name with the first free suffix `_1`, `_2`, …. It
 * adds each name to `taken`.
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
