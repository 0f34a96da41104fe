/**
 * Functions that change graphs. A pass says what replaces each node (`rewriteNodes`) or takes nodes out (`bypassAll`);
 * these functions make the new graph with fresh names and initializers, and leave out what no output needs.
 *
 * Unchanged nodes and graphs stay the same objects, so `===` answers "did it change?". No graph is ever modified.
 */
import { inlineConstant } from './constants.js';
import type { Attribute, Graph, Initializer, Node } from './graph.js';
import { nameGiver } from './names.js';

/** What a rewrite may add to the graph while it replaces a node. */
export interface Draft {
  /** Add a node with one output, ahead of the current node's replacement. Returns the name of the output. */
  node(op: string, inputs: readonly string[], wanted: string, attributes?: Readonly<Record<string, Attribute>>): string;
  /** Add any other node, ahead of the current node's replacement. */
  add(node: Node): void;
  /** Add a small constant; returns its name. */
  constant(
    wanted: string,
    dataType: 'float32' | 'float16' | 'int64' | 'uint8',
    dims: readonly number[],
    values: ArrayLike<number>,
  ): string;
  /** Add an initializer, or replace the one that has its name. Returns the name. */
  set(initializer: Initializer): string;
  /** The initializer with this name, with the changes made so far. */
  initializer(name: string | undefined): Initializer | undefined;
  /** A name that is not in the graph: the wanted one if it is free. */
  fresh(wanted: string): string;
}

/**
 * Returns the replacement of a node: the same node, another one, several or none. Returns undefined if the graph cannot
 * be rewritten; the whole pass then does not match.
 */
export type Replace = (node: Node, draft: Draft) => Node | readonly Node[] | undefined;

/**
 * The graph with every node replaced, and pruned. `others` may give it other inputs, outputs, or another opset.
 * Undefined ("no match") if `replace` returns undefined or nothing changes.
 *
 *     rewriteNodes(graph, (node, draft) =>
 *       node.op === 'Relu' ? { ...node, op: 'Clip', inputs: [...node.inputs, draft.constant(…)] } : node,
 *     );
 */
export function rewriteNodes(
  graph: Graph,
  replace: Replace,
  others: Partial<Pick<Graph, 'inputs' | 'outputs' | 'opset'>> = {},
): Graph | undefined {
  const nodes: Node[] = [];
  const changed = new Map<string, Initializer>();
  const draft = createDraft(graph, nodes, changed);
  for (const node of graph.nodes) {
    const made = replace(node, draft);
    if (made === undefined) return undefined;
    if ('op' in made) nodes.push(made);
    else nodes.push(...made);
  }
  const initializers = changed.size === 0 ? graph.initializers : new Map([...graph.initializers, ...changed]);
  const result = { ...graph, ...others, nodes, initializers };
  return isSame(result, graph) ? undefined : prune(result);
}

function createDraft(graph: Graph, nodes: Node[], changed: Map<string, Initializer>): Draft {
  // Most rewrites add no name.
  let give: ((wanted: string) => string) | undefined;
  const fresh = (wanted: string): string => (give ??= nameGiver(graph))(wanted);
  const set = (initializer: Initializer): string => {
    changed.set(initializer.name, initializer);
    return initializer.name;
  };
  return {
    node(op, inputs, wanted, attributes = {}) {
      const name = fresh(wanted);
      nodes.push({ op, name, inputs, outputs: [name], attributes });
      return name;
    },
    add: (node) => void nodes.push(node),
    constant: (wanted, dataType, dims, values) => set(inlineConstant(fresh(wanted), dataType, dims, values)),
    set,
    initializer: (name = '') => changed.get(name) ?? graph.initializers.get(name),
    fresh,
  };
}

/**
 * The graph without a node that passes its first input on unchanged: the readers of its first output read its input.
 * Undefined if that is impossible: another output is used, or the value is a graph output that no other node could
 * produce.
 */
export function bypass(graph: Graph, node: Node): Graph | undefined {
  const [input = ''] = node.inputs;
  const [output = '', ...others] = node.outputs;
  const isOutput = (name: string): boolean => graph.outputs.some((declared) => declared.name === name);
  const isRead = (name: string): boolean => graph.nodes.some(({ inputs }) => inputs.includes(name)) || isOutput(name);
  if (others.some((name) => name !== '' && isRead(name))) return undefined;

  const rest = graph.nodes.filter((other) => other !== node);
  if (!isOutput(output)) {
    const rename = (name: string): string => (name === output ? input : name);
    return { ...graph, nodes: rest.map((other) => renameReads(other, rename)) };
  }
  const produced = rest.some(({ outputs }) => outputs.includes(input));
  if (!produced || isOutput(input)) return undefined;
  const rename = (name: string): string => (name === input ? output : name);
  return { ...graph, nodes: rest.map((other) => renameIn(other, rename)) };
}

/** The graph without the nodes that do nothing, as far as each can be bypassed. Undefined where none can. */
export function bypassAll(graph: Graph, doesNothing: (node: Node) => boolean): Graph | undefined {
  let current = graph;
  for (const { name } of graph.nodes.filter(doesNothing)) {
    const node = current.nodes.find((other) => other.name === name)!;
    current = bypass(current, node) ?? current;
  }
  return current === graph ? undefined : prune(current);
}

/** The node with its inputs renamed; the same node if no name changes. */
export function renameReads(node: Node, rename: (name: string) => string): Node {
  const inputs = node.inputs.map(rename);
  return inputs.every((name, index) => name === node.inputs[index]) ? node : { ...node, inputs };
}

/** The node with its inputs and outputs renamed. */
export function renameIn(node: Node, rename: (name: string) => string): Node {
  const outputs = node.outputs.map(rename);
  const renamed = renameReads(node, rename);
  return outputs.every((name, index) => name === node.outputs[index]) ? renamed : { ...renamed, outputs };
}

/** The graph with every value renamed, its inputs, outputs and initializers too. `rename` must keep names apart. */
export function renameValues(graph: Graph, rename: (name: string) => string): Graph {
  const named = <T extends { readonly name: string }>(value: T): T => ({ ...value, name: rename(value.name) });
  return {
    ...graph,
    inputs: graph.inputs.map(named),
    outputs: graph.outputs.map(named),
    nodes: graph.nodes.map((node) => renameIn(node, rename)),
    initializers: new Map([...graph.initializers.values()].map(named).map((made) => [made.name, made])),
  };
}

/** The graph with every initializer changed; the same graph where none is. `change` must keep its name. */
export function mapInitializers(graph: Graph, change: (initializer: Initializer) => Initializer): Graph {
  const before = [...graph.initializers.values()];
  const after = before.map(change);
  if (sameList(after, before) === before) return graph;
  return { ...graph, initializers: new Map(after.map((initializer) => [initializer.name, initializer])) };
}

/**
 * The graph without the nodes and initializers that no output needs; the same graph where all are. Graph inputs stay.
 */
export function prune(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const nodes = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
    const isNeeded = outputs.some((name) => needed.has(name));
    if (isNeeded) for (const name of inputs) needed.add(name);
    return isNeeded;
  });
  const initializers = [...graph.initializers].filter(([name]) => needed.has(name));
  if (nodes.length === graph.nodes.length && initializers.length === graph.initializers.size) return graph;
  return { ...graph, nodes: nodes.reverse(), initializers: new Map(initializers) };
}

/**
 * The nodes in topological order: as they stand, but each behind those whose values it reads. The nodes must not run in
 * a circle.
 */
export function sortNodes(graph: Graph): Graph {
  const producers = producersOf(graph);
  const sorted = new Set<Node>();
  const add = (node: Node): void => {
    if (sorted.has(node)) return;
    for (const name of node.inputs) {
      const producer = producers.get(name);
      if (producer !== undefined) add(producer);
    }
    sorted.add(node);
  };
  graph.nodes.forEach(add);
  return { ...graph, nodes: [...sorted] };
}

/** The node that makes each value. */
export function producersOf({ nodes }: Graph): ReadonlyMap<string, Node> {
  return new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
}

/** How often each value is read, as a node's input or a graph output. */
export function countReads(graph: Graph): ReadonlyMap<string, number> {
  const reads = new Map<string, number>();
  const names = [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)];
  for (const name of names) reads.set(name, (reads.get(name) ?? 0) + 1);
  return reads;
}

/** `before` where `after` has the same elements in the same order. */
function sameList<T>(after: readonly T[], before: readonly T[]): readonly T[] {
  return after.length === before.length && after.every((each, index) => each === before[index]) ? before : after;
}

function isSame(after: Graph, before: Graph): boolean {
  const haveSame = (['inputs', 'outputs', 'nodes'] as const).every(
    (part) => sameList<unknown>(after[part], before[part]) === before[part],
  );
  return haveSame && after.opset === before.opset && after.initializers === before.initializers;
}
