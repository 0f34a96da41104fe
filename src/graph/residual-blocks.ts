/**
 * Finds the residual blocks of a graph: y = F(x) + x (He 2016a, §3.2). The graph's own structure tells them, no name does:
 *
 *   x ─┬─ branch F ───┐
 *      └─ shortcut ─ Add ─ y
 *
 * The join is an addition of values. Block and shortcut start at the last value that all of them come from. A shortcut
 * has no activation and at most one layer with weights: it is the identity, or a projection where the shape changes. A
 * branch is whatever else is added. Several branches make a Multi-ResNet's block (Abdi 2016), and additions of additions
 * from one start are one join. Batch normalization may be folded; the activation may stand behind the join (He 2016a) or
 * in the branch (He 2016b). Joined columns with activations (FractalNet) and concatenations (DenseNet, Inception) are no
 * residual blocks; neither is a gated sum T·H + (1 − T)·x (Highway), unless it is written x + T·(H − x).
 *
 * A block whose branch has blocks inside is a shortcut over those (RoR, Zhang 2016).
 */
import { dominatorsOf, type Dominators } from './dominators.js';
import type { Graph, Node } from './graph.js';
import { GraphError } from './graph-error.js';
import { nativeShapes, type NativeSize } from './native-shapes.js';
import { isOfKind } from './operators.js';
import { countReads, producersOf } from './rewrite.js';

/** One of the values that a join adds up. */
export interface Operand {
  readonly value: string;
  /** The nodes between the start and the value, in order; none for the identity. */
  readonly nodes: readonly Node[];
}

export interface ResidualBlock {
  /** What the names of its nodes have in common, or `block 7` if that is nothing or another block's name too. */
  readonly name: string;
  /** The blocks whose results are maps of one size are a stage; the first is 1. */
  readonly stage: number;
  /** x. */
  readonly start: string;
  /** Adds up shortcuts and branches; its first output is y. */
  readonly join: Node;
  /** The join, and the sums of some of its summands that it adds to the others. */
  readonly sums: readonly Node[];
  readonly shortcuts: readonly Operand[];
  readonly branches: readonly Operand[];
  /** Shapes of x and y for one image at the native size; undefined if unknown. */
  readonly from: readonly number[] | undefined;
  readonly to: readonly number[] | undefined;
  /** Whether x and y differ in shape, or a shortcut has weights: it cannot trade places with another block. */
  readonly changesShape: boolean;
  /** Whether y is a smaller map than x. */
  readonly downsamples: boolean;
  /** The blocks in its branches. */
  readonly inner: readonly ResidualBlock[];
}

/**
 * The residual blocks in the order of their joins, those inside of others in `inner`. Empty if the graph has none.
 */
export function findResidualBlocks(graph: Graph, nativeSize: NativeSize): readonly ResidualBlock[] {
  const finder = new Finder(graph, nativeSize);
  return nested(named(inStages(finder.blocks())));
}

/** The innermost blocks: those without blocks inside. */
export function innermost(blocks: readonly ResidualBlock[]): readonly ResidualBlock[] {
  return blocks.flatMap((block) => (block.inner.length === 0 ? [block] : innermost(block.inner)));
}

/** The innermost blocks of a net that must have some. Throws GraphError, with the net's name, saying why it has none. */
export function residualBlocks(graph: Graph, nativeSize: NativeSize, name = graph.name): readonly ResidualBlock[] {
  const blocks = innermost(findResidualBlocks(graph, nativeSize));
  if (blocks.length > 0) return blocks;
  const joins = graph.nodes.some(({ op }) => op === 'Concat') ? '; it joins maps by concatenation' : '';
  throw new GraphError(`${name} has no residual blocks: nothing adds a branch to a shortcut around it${joins}`);
}

const JOINS: ReadonlySet<string> = new Set(['Add', 'Sum', 'Mean']);

/** Blocks without what can be told only from all of them together. */
type Found = Omit<ResidualBlock, 'name' | 'stage' | 'inner'>;

class Finder {
  readonly #graph: Graph;
  readonly #producers: ReadonlyMap<string, Node>;
  readonly #reads: ReadonlyMap<string, number>;
  readonly #positions: ReadonlyMap<Node, number>;
  readonly #dominators: Dominators;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor(graph: Graph, nativeSize: NativeSize) {
    this.#graph = graph;
    this.#producers = producersOf(graph);
    this.#reads = countReads(graph);
    this.#positions = new Map(graph.nodes.map((node, position) => [node, position]));
    this.#dominators = dominatorsOf(graph);
    this.#shapes = nativeShapes(graph, nativeSize);
  }

  blocks(): Found[] {
    /** Additions that are part of a later join. */
    const partial = new Set<Node>();
    const found = this.#graph.nodes.toReversed().flatMap((node) => {
      if (partial.has(node)) return [];
      const block = this.#blockAt(node, partial);
      return block === undefined ? [] : [block];
    });
    return found.reverse();
  }

  #blockAt(join: Node, partial: Set<Node>): Found | undefined {
    const start = this.#startOf(this.#summands(join));
    if (start === undefined) return undefined;
    const flat = this.#flattened(join, start);
    const operands = flat.values.map((value) => ({ value, nodes: this.#between(start, value) }));
    const { shortcuts, branches } = this.#apart(operands);
    if (shortcuts.length === 0 || branches.length === 0) return undefined;
    for (const node of flat.joins) partial.add(node);
    const from = this.#shapes.get(start)?.slice(1);
    const to = this.#shapes.get(join.outputs[0]!)?.slice(1);
    const isSame = from !== undefined && from.join() === to?.join();
    return {
      ...{ start, join, sums: [join, ...flat.joins], shortcuts, branches, from, to },
      changesShape: !isSame || shortcuts.some((shortcut) => this.#weighted(shortcut) > 0),
      downsamples: mapSize(to) < mapSize(from),
    };
  }

  /** What a node adds up: values that depend on the input. None if it is no addition. */
  #summands({ op, inputs }: Node): readonly string[] {
    return JOINS.has(op) ? inputs.filter((value) => this.#dominators.isData(value)) : [];
  }

  /** What several values come from. */
  #startOf(values: readonly string[]): string | undefined {
    return values.length < 2 ? undefined : this.#dominators.common(values);
  }

  /** The summands of a join and of the sums that it adds up, as far as those have the same start; and those sums. */
  #flattened(join: Node, start: string): { readonly values: readonly string[]; readonly joins: readonly Node[] } {
    const parts = this.#summands(join).map((value) => {
      const sum = join.op === 'Mean' ? undefined : this.#sumReadOnce(value);
      if (sum === undefined || this.#startOf(this.#summands(sum)) !== start) return { values: [value], joins: [] };
      const { values, joins } = this.#flattened(sum, start);
      return { values, joins: [sum, ...joins] };
    });
    return { values: parts.flatMap(({ values }) => values), joins: parts.flatMap(({ joins }) => joins) };
  }

  #sumReadOnce(value: string): Node | undefined {
    const producer = this.#reads.get(value) === 1 ? this.#producers.get(value) : undefined;
    return producer?.op === 'Add' || producer?.op === 'Sum' ? producer : undefined;
  }

  /** The nodes that make `value` of `start`, in order. */
  #between(start: string, value: string): readonly Node[] {
    const nodes = new Set<Node>();
    const waiting = [value];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const producer = next === start || !this.#dominators.isData(next) ? undefined : this.#producers.get(next);
      if (producer === undefined || nodes.has(producer)) continue;
      nodes.add(producer);
      waiting.push(...producer.inputs);
    }
    return [...nodes].sort((a, b) => this.#positions.get(a)! - this.#positions.get(b)!);
  }

  /** Identities are the shortcuts if there are any, else the linear operands with one layer of weights. */
  #apart(operands: readonly Operand[]): Pick<Found, 'shortcuts' | 'branches'> {
    const linear = operands.filter(({ nodes }) => !nodes.some(isNonlinear));
    const fewest = Math.min(...linear.map((operand) => this.#weighted(operand)));
    const shortcuts = fewest > 1 ? [] : linear.filter((operand) => this.#weighted(operand) === fewest);
    return { shortcuts, branches: operands.filter((operand) => !shortcuts.includes(operand)) };
  }

  #weighted({ nodes }: Operand): number {
    return nodes.filter(({ op }) => op === 'Conv' || op === 'Gemm' || op === 'MatMul').length;
  }
}

const isNonlinear = (node: Node): boolean => isOfKind(node, 'elementwise') || node.op === 'PRelu';

/** Cells of a map [C, h, w]; 1 for anything else. */
function mapSize(dims: readonly number[] = []): number {
  return dims.slice(1).reduce((product, size) => product * size, 1);
}

/** Blocks with their stages: a block around others has that of its last. */
function inStages(found: readonly Found[]): (Found & Pick<ResidualBlock, 'stage'>)[] {
  let stage = 0;
  return found.map((block, index) => {
    if (index === 0 || block.to?.slice(1).join() !== found[index - 1]!.to?.slice(1).join()) stage += 1;
    return { ...block, stage };
  });
}

function named<T extends Found>(found: readonly T[]): (T & Pick<ResidualBlock, 'name'>)[] {
  const names = found.map(sharedName);
  return found.map((block, index) => {
    const name = names[index]!;
    const isItsOwn = name !== '' && names.indexOf(name) === names.lastIndexOf(name);
    return { ...block, name: isItsOwn ? name : `block ${index + 1}` };
  });
}

/** The parts that the paths of its nodes' names begin with: `layer1.0` of `layer1.0.conv1`, `layer1.0.add` and so on. */
function sharedName({ branches, join }: Found): string {
  const names = branches.flatMap(({ nodes }) => nodes.map(({ name }) => name));
  // The join may have a name that tells nothing.
  return commonPath([...names, join.name]) || commonPath(names);
}

function commonPath(names: readonly string[]): string {
  const [first = [], ...others] = names.map((name) => name.split(/[./]/).slice(0, -1));
  const length = first.findIndex((part, index) => others.some((path) => path[index] !== part));
  return (length === -1 ? first : first.slice(0, length)).filter((part) => part !== '').join('.');
}

/** Each block goes into the later one whose branch has its join. */
function nested(found: readonly Omit<ResidualBlock, 'inner'>[]): readonly ResidualBlock[] {
  return found.reduce<readonly ResidualBlock[]>((earlier, block) => {
    const nodes = new Set(block.branches.flatMap((branch) => branch.nodes));
    const inner = earlier.filter(({ join }) => nodes.has(join));
    return [...earlier.filter(({ join }) => !nodes.has(join)), { ...block, inner }];
  }, []);
}
