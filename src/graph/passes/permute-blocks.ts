/**
 * Put residual blocks in another order (Veit 2016, §4.3). A block takes the place of another: its branches read the other's
 * start, and what they give is added there.
 *
 *   Before: y₁ = x₁ + F(x₁) …  y₂ = x₂ + G(x₂)
 *   After:  y₁ = x₁ + G(x₁) …  y₂ = x₂ + F(x₂)
 *
 * Preconditions, which throw: all blocks have the same shape at both ends and the identity as their shortcut, and nothing
 * but its join reads a branch. Shortcuts, joins and what stands between the blocks stay where they are.
 *
 * Not equal, on purpose: it is the net whose modules have traded their weights. Applied twice with an order and its
 * inverse it gives the first net again. No match where each block keeps its place.
 */
import type { Graph, Node } from '../graph.js';
import { GraphError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import type { ResidualBlock } from '../residual-blocks.js';
import { countReads, prune, renameReads, sortNodes } from '../rewrite.js';

/** The pass: at the place of `blocks[i]` stands `blocks[order[i]]`; `order` is a permutation. */
export function permuteBlocks(blocks: readonly ResidualBlock[], order: readonly number[]): Pass {
  const moves = blocks.flatMap((place, index) => {
    const block = blocks[order[index]!]!;
    return block === place ? [] : [{ place, block }];
  });
  return { name: 'permute-blocks', apply: (graph) => (moves.length === 0 ? undefined : permute(graph, moves)) };
}

interface Move {
  readonly place: ResidualBlock;
  readonly block: ResidualBlock;
}

function permute(graph: Graph, moves: readonly Move[]): Graph {
  for (const move of moves) checkShapes(move);
  for (const { block } of moves) checkReaders(graph, block);
  const moved = new Set(moves.flatMap(({ block }) => nodesOf(block)));
  const byJoin = new Map(moves.map((move) => [move.place.join.name, move]));
  const nodes = graph.nodes.flatMap((node) => {
    if (moved.has(node)) return [];
    const move = byJoin.get(node.name);
    return move === undefined ? [node] : placed(move, node);
  });
  // Weights that nodes compute may stand behind the block's new place.
  return prune(sortNodes({ ...graph, nodes }));
}

/** The nodes of a block at its new place, and the join there. */
function placed({ place, block }: Move, join: Node): Node[] {
  const rename = (name: string): string => (name === block.start ? place.start : name);
  const shortcuts = place.shortcuts.map(({ value }) => value);
  const branches = block.branches.map(({ value }) => value);
  return [
    ...nodesOf(block).map((node) => renameReads(node, rename)),
    { ...join, op: join.op === 'Add' && branches.length > 1 ? 'Sum' : join.op, inputs: [...branches, ...shortcuts] },
  ];
}

/** The nodes of all branches, once each, in order. */
function nodesOf({ branches }: ResidualBlock): readonly Node[] {
  return [...new Set(branches.flatMap(({ nodes }) => nodes))];
}

function checkShapes({ place, block }: Move): void {
  const isMovable = (each: ResidualBlock): boolean => !each.changesShape && each.inner.length === 0;
  if (isMovable(place) && isMovable(block) && place.from!.join() === block.from!.join()) return;
  throw new GraphError(`${block.name} cannot stand where ${place.name} does: their shapes differ or change`);
}

function checkReaders(graph: Graph, block: ResidualBlock): void {
  const own = nodesOf(block);
  const inside = countReads({ ...graph, nodes: [...own, ...block.sums], outputs: [] });
  const everywhere = countReads(graph);
  const leaving = own.flatMap(({ outputs }) => outputs).find((name) => everywhere.get(name) !== inside.get(name));
  if (leaving !== undefined) throw new GraphError(`${block.name}: "${leaving}" is read outside of the block`);
}
