/**
 * What many passes do to a graph: take a node out, rename values, leave out what nothing needs. Each returns a new graph.
 */
import type { Graph, Initializer, Node, ValueInfo } from './graph.js';

/**
 * The graph without a node that gives its first input on unchanged: whoever read its first output reads its input.
 * Undefined where that cannot be: other outputs are used, or the value is a graph output that no other node could produce.
 */
export function bypass(graph: Graph, node: Node): Graph | undefined {
  const [input = ''] = node.inputs;
  const [output = '', ...others] = node.outputs;
  const isOutput = (name: string): boolean => graph.outputs.some((declared) => declared.name === name);
  const isRead = (name: string): boolean => graph.nodes.some(({ inputs }) => inputs.includes(name)) || isOutput(name);
  if (others.some((name) => name !== '' && isRead(name))) return undefined;

  const rest = graph.nodes.filter((other) => other !== node);
  if (!isOutput(output)) {
    return { ...graph, nodes: mapReads(rest, (name) => (name === output ? input : name)) };
  }
  const produced = rest.some(({ outputs }) => outputs.includes(input));
  if (!produced || isOutput(input)) return undefined;
  const rename = (name: string): string => (name === input ? output : name);
  return { ...graph, nodes: rest.map((other) => renameIn(other, rename)) };
}

/** Every node reads what `rename` says in place of what it read. */
export function mapReads(nodes: readonly Node[], rename: (name: string) => string): Node[] {
  return nodes.map((node) => ({ ...node, inputs: node.inputs.map(rename) }));
}

/** The node with its inputs and outputs renamed. */
export function renameIn(node: Node, rename: (name: string) => string): Node {
  return { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
}

/** The graph with every value renamed, its inputs, outputs and initializers too. `rename` must keep names apart. */
export function renameValues(graph: Graph, rename: (name: string) => string): Graph {
  const info = (value: ValueInfo): ValueInfo => ({ ...value, name: rename(value.name) });
  const initializers = [...graph.initializers.values()].map((initializer): [string, Initializer] => {
    const name = rename(initializer.name);
    return [name, { ...initializer, name }];
  });
  return {
    ...graph,
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    nodes: graph.nodes.map((node) => renameIn(node, rename)),
    initializers: new Map(initializers),
  };
}

/** The graph without the nodes and initializers that no output needs. Graph inputs stay. */
export function prune(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const nodes = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
    const isNeeded = outputs.some((name) => needed.has(name));
    if (isNeeded) for (const name of inputs) needed.add(name);
    return isNeeded;
  });
  const initializers = [...graph.initializers].filter(([name]) => needed.has(name));
  return { ...graph, nodes: nodes.reverse(), initializers: new Map(initializers) };
}

/** How often each value is read, as a node's input or a graph output. */
export function countReads(graph: Graph): ReadonlyMap<string, number> {
  const reads = new Map<string, number>();
  const names = [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)];
  for (const name of names) reads.set(name, (reads.get(name) ?? 0) + 1);
  return reads;
}
