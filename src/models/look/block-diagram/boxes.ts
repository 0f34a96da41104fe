/**
 * A graph as the boxes that a drawing shows. Layers that follow each other without a branch share a box: a convolution, its
 * normalization and its activation are one. Joins of maps are circles; sums of sums are one sum. Constants, sizes that are
 * computed, and nodes that change nothing are left out.
 */
import { attribute } from '../../../graph/attributes.js';
import type { Graph, Node } from '../../../graph/graph.js';
import { nativeShapes, type NativeSize } from '../../../graph/native-shapes.js';
import { isOfKind } from '../../../graph/operators.js';
import { layersOf } from '../layers.js';
import { signOf, wordsOf } from './words.js';

/** What a box is, for its colour. `activation` has no more than functions of single numbers. */
export type BoxKind =
  'input' | 'join' | 'convolution' | 'pooling' | 'connected' | 'activation' | 'normalization' | 'other';

export interface Box {
  readonly kind: BoxKind;
  /** The layers in words, one after the other; the sign of a join. */
  readonly words: readonly string[];
  /** Names of the nodes, or of the graph's input. */
  readonly names: readonly string[];
  /** Positions of the boxes whose values it reads: earlier ones, each once. */
  readonly from: readonly number[];
  /** Shape of its value without the batch; `64…256` for a size that differs between folded blocks. Unknown: undefined. */
  readonly shape: readonly (number | string)[] | undefined;
}

interface Draft extends Box {
  words: string[];
  names: string[];
  from: number[];
  shape: Box['shape'];
  /** The values that it gives. */
  values: readonly string[];
  /** The axis of a Concat. */
  readonly axis?: number | undefined;
}

/**
 * The boxes of a graph at the native size, in topological order. Only nodes that `isDrawn` admits are drawn; what they read
 * of others becomes an input. Throws GraphError for a malformed node.
 */
export function boxesOf(graph: Graph, nativeSize: NativeSize, isDrawn: (node: Node) => boolean = () => true): Box[] {
  const layers = layersOf(graph, nativeSize);
  const shapes = nativeShapes(graph, nativeSize);
  const same = sameValues(graph);
  const fixed = fixedValues(graph);
  const readsOf = ({ inputs }: Node): string[] => [
    ...new Set(inputs.filter((name) => name !== '' && !fixed.has(name)).map((name) => same.get(name) ?? name)),
  ];
  const readers = countReaders(graph, readsOf, same);
  const isReadOnce = ({ values }: Draft): boolean => values.length === 1 && readers.get(values[0]!) === 1;
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node.name] as const)));

  const drafts: Draft[] = [];
  const merged = new Set<number>();
  const makers = new Map<string, number>();
  const add = (draft: Draft): void => {
    for (const value of draft.values) makers.set(value, drafts.length);
    drafts.push(draft);
  };
  const makerOf = (value: string): number => {
    if (!makers.has(value)) {
      const name = producers.get(value);
      const words = [name === undefined ? value : `from ${name}`];
      add({
        kind: 'input',
        words,
        names: [name ?? value],
        from: [],
        shape: shapes.get(value)?.slice(1),
        values: [value],
      });
    }
    return makers.get(value)!;
  };

  for (const [index, node] of graph.nodes.entries()) {
    const isHidden = node.outputs.every((output) => fixed.has(output) || same.has(output));
    if (isHidden || !isDrawn(node)) continue;
    const sources = readsOf(node).map(makerOf);
    const layer = layers[index]!;
    const shape = layer.output;
    const sign = sources.length > 1 ? signOf(node) : undefined;
    if (sign !== undefined) {
      const axis = attribute(node, 'axis', 'int');
      const parts = sources.map((source) => {
        const part = drafts[source]!;
        const isPart = part.kind === 'join' && part.words[0] === sign && part.axis === axis && isReadOnce(part);
        if (!isPart || !(sign === '+' || sign === 'concat')) return { from: [source], names: [] };
        merged.add(source);
        return part;
      });
      const names = [...parts.flatMap((part) => part.names), node.name];
      const from = [...new Set(parts.flatMap((part) => part.from))];
      add({ kind: 'join', words: [sign], names, from, shape, values: node.outputs, axis });
      continue;
    }
    const words = wordsOf(node, layer, graph);
    const [only] = sources.length === 1 ? [drafts[sources[0]!]!] : [];
    if (only !== undefined && follows(node) && !['input', 'join'].includes(only.kind) && isReadOnce(only)) {
      only.words.push(words);
      only.names.push(node.name);
      only.shape = shape;
      only.values = node.outputs;
      for (const value of node.outputs) makers.set(value, sources[0]!);
    } else {
      add({ kind: kindOf(node), words: [words], names: [node.name], from: sources, shape, values: node.outputs });
    }
  }
  return withoutMerged(drafts, merged);
}

/** Whether a node is written behind the layer before it. */
function follows(node: Node): boolean {
  return isOfKind(node, 'elementwise', 'by-channel', 'broadcast', 'view', 'along-axis', 'across-channels');
}

function kindOf(node: Node): BoxKind {
  if (node.op === 'Conv') return 'convolution';
  if (isOfKind(node, 'window', 'global-pool')) return 'pooling';
  if (isOfKind(node, 'product')) return 'connected';
  if (isOfKind(node, 'elementwise', 'broadcast')) return 'activation';
  return isOfKind(node, 'by-channel', 'across-channels') ? 'normalization' : 'other';
}

/** Values that are others under another name, and the others. */
function sameValues({ nodes }: Graph): ReadonlyMap<string, string> {
  const same = new Map<string, string>();
  for (const node of nodes) {
    const [input = '', output = ''] = [node.inputs[0], node.outputs[0]];
    if (isOfKind(node, 'identity', 'cast')) same.set(output, same.get(input) ?? input);
  }
  return same;
}

/** Values that no image changes: weights, constants, sizes, and what is computed of them. */
function fixedValues({ nodes, initializers }: Graph): ReadonlySet<string> {
  const fixed = new Set(initializers.keys());
  for (const { op, inputs, outputs } of nodes) {
    if (op !== 'Shape' && !inputs.every((name) => name === '' || fixed.has(name))) continue;
    for (const output of outputs) fixed.add(output);
  }
  return fixed;
}

function countReaders(
  graph: Graph,
  readsOf: (node: Node) => readonly string[],
  same: ReadonlyMap<string, string>,
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const count = (name: string): unknown => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const node of graph.nodes) if (!node.outputs.every((output) => same.has(output))) readsOf(node).forEach(count);
  for (const { name } of graph.outputs) count(same.get(name) ?? name);
  return counts;
}

function withoutMerged(drafts: readonly Draft[], merged: ReadonlySet<number>): Box[] {
  const kept = drafts.map((_, index) => index).filter((index) => !merged.has(index));
  const places = new Map(kept.map((index, place) => [index, place]));
  return kept.map((index) => {
    const { kind, words, names, from, shape } = drafts[index]!;
    return { kind, words, names, from: from.map((source) => places.get(source)!), shape };
  });
}
