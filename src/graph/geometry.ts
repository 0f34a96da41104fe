/**
 * Where the cells of a map look: output stride, offset and receptive field in input pixels, derived by following the
 * windows from the image to the map.
 *
 * Along one axis, cell i of a value sees the pixels from start + i·stride to start + i·stride + size. The image has
 * stride 1, start 0, size 1; a window with kernel extent e, stride s and padding p before the input turns
 * (stride, start, size) into (stride·s, start − p·stride, size + (e − 1)·stride). Where branches join, the strides must
 * agree and the fields unite. Source: Araujo 2019, "Computing receptive fields of convolutional neural networks".
 */
import { attribute } from './attributes.js';
import { integerValues } from './constants.js';
import type { Graph, Node, ValueInfo } from './graph.js';
import { GraphError, nodeError } from './graph-error.js';
import { isOfKind, keepsPlaces, readsWholeMap } from './operators.js';
import { windowExtent, windowsOf, type Window } from './windows.js';

/** The same along both axes. Pixel edges are whole numbers: the centre of pixel 0 is 0.5. */
export interface MapGeometry {
  /** Pixels from one cell to the next. */
  readonly outputStride: number;
  /** Centre of the receptive field of cell 0, in pixels; it may lie in the padding. */
  readonly offset: number;
  /** Side of the receptive field in pixels. */
  readonly receptiveField: number;
}

/** What the cells of a value see along one axis. */
export interface Field {
  /** Pixels from one cell to the next. */
  readonly stride: number;
  /** First pixel edge that cell 0 sees; negative in the padding. */
  readonly start: number;
  readonly size: number;
  /** Variance of `start` that the kernels' centres add. */
  readonly variance: number;
}

/** A value's fields by axis; undefined for the axes that are not spatial (batch, channels). */
export type Fields = readonly (Field | undefined)[];

/** How far the centre of a kernel [M, C, kH, kW] lies behind its middle along each axis, in its own cells. */
export type KernelCentre = readonly [y: Estimate, x: Estimate];

/** By the name of the kernel. */
export type KernelCentres = ReadonlyMap<string, KernelCentre>;

export interface Estimate {
  readonly value: number;
  /** The variance that `value` would have if the weights were random. */
  readonly variance: number;
}

/**
 * Geometry of the map `valueName`, whose layout is that of the graph's image input or a transposition of it. Throws
 * GraphError when the value is not a map, when height and width differ, when branches of different stride join, where
 * padding depends on the size (auto_pad SAME, see passes/resolve-auto-padding.ts), or where a map is sampled at computed
 * places (GridSample): cells then have no fixed place.
 */
export function mapGeometry(graph: Graph, valueName: string): MapGeometry {
  const fields = followFields(graph, valueName)
    .get(valueName)!
    .filter((field) => field !== undefined);
  const [first, second, ...more] = fields;
  if (first === undefined || second === undefined || more.length > 0) {
    throw new GraphError(`"${valueName}" is not a map: it has ${fields.length} spatial axes`);
  }
  if (first.stride !== second.stride || first.start !== second.start || first.size !== second.size) {
    throw new GraphError(`"${valueName}": the geometry differs between height and width`);
  }
  return { outputStride: first.stride, offset: first.start + first.size / 2, receptiveField: first.size };
}

/**
 * The fields of `valueName` and of all values it is computed from. A value that is missing comes from constants alone;
 * a value without fields is the same for all cells. With `centres`, fields are moved so that the middle of each lies
 * where its cell looks (effective-centre.ts). Throws GraphError as mapGeometry does.
 */
export function followFields(graph: Graph, valueName: string, centres?: KernelCentres): ReadonlyMap<string, Fields> {
  const known = new Map<string, Fields>();
  for (const input of graph.inputs) known.set(input.name, inputFields(input));
  const behind = nodesBehind(graph, valueName);
  // Said of this node, and not of the first of those that compute its places.
  const sampling = behind.find((node) => isOfKind(node, 'sampling'));
  if (sampling !== undefined) throw nodeError(sampling, "the geometry behind it is each image's own");
  for (const node of behind) {
    // A value computed from constants alone is a constant.
    if (!node.inputs.some((name) => known.has(name))) continue;
    const fields = fieldsAfter(graph, node, (name) => known.get(name), centres);
    for (const output of node.outputs) known.set(output, fields);
  }
  if (!known.has(valueName)) throw new GraphError(`"${valueName}" does not come from the image`);
  return known;
}

/**
 * Whether the cells of a map also depend on pixels outside their receptive fields, through a mean over the whole image
 * as in squeeze and excitation.
 */
export function seesEverything(graph: Graph, valueName: string): boolean {
  return nodesBehind(graph, valueName).some(readsWholeMap);
}

/** The nodes that a value depends on, in order. */
function nodesBehind(graph: Graph, valueName: string): Node[] {
  const needed = new Set([valueName]);
  return graph.nodes
    .toReversed()
    .filter((node) => {
      const behind = node.outputs.some((output) => needed.has(output));
      if (behind) for (const input of node.inputs) needed.add(input);
      return behind;
    })
    .toReversed();
}

/**
 * An image has rank 4: [N, C, H, W], or [N, H, W, C] if only the last size can be that of channels. Other inputs have
 * no map.
 */
function inputFields({ dims }: ValueInfo): Fields {
  if (dims.length !== 4) return dims.map(() => undefined);
  const isChannels = (dim: unknown): boolean => typeof dim === 'number' && dim <= 4;
  const channels = !isChannels(dims[1]) && isChannels(dims[3]) ? 3 : 1;
  return dims.map((_, axis) =>
    axis === 0 || axis === channels ? undefined : { stride: 1, start: 0, size: 1, variance: 0 },
  );
}

function fieldsAfter(
  graph: Graph,
  node: Node,
  known: (name: string) => Fields | undefined,
  centres?: KernelCentres,
): Fields {
  const [first = ''] = node.inputs;
  const fields = known(first);
  const operands = node.inputs.map(known).filter((operand) => operand !== undefined);
  // A globally pooled value has no place: it scales or shifts all cells alike (squeeze and excitation).
  const placed = operands.filter((operand) => operand.some((field) => field !== undefined));
  if (isOfKind(node, 'global-pool') || (operands.length > 0 && placed.length === 0)) return [];
  if (keepsPlaces(node)) return join(node, placed);
  // Cells keep their places if the axis is not spatial. Softmax is that of opset 13 and later: imported graphs are
  // raised.
  if (isOfKind(node, 'along-axis') || node.op === 'Concat') {
    return onChannels(node, join(node, placed), attribute(node, 'axis', 'int') ?? -1);
  }
  if (fields === undefined) throw nodeError(node, 'its first input does not come from the image');
  if (isOfKind(node, 'window')) {
    const centre = node.op === 'Conv' ? centres?.get(node.inputs[1] ?? '') : undefined;
    return slide(node, fields, windowsOf(node, kernelOf(graph, node)), centre);
  }
  if (isOfKind(node, 'reduction')) return reduce(node, fields, graph);
  // Channels last: a layer that is the same at every place.
  if (node.op === 'LayerNormalization') return onLastAxes(node, fields, attribute(node, 'axis', 'int') ?? -1);
  if (node.op === 'MatMul' && graph.initializers.get(node.inputs[1] ?? '')?.dims.length === 2) {
    return onLastAxes(node, fields, -1);
  }
  switch (node.op) {
    case 'Transpose':
      return (attribute(node, 'perm', 'ints') ?? [...fields.keys()].reverse()).map((axis) => fields[axis]);
    case 'Pad':
      return shift(node, fields, graph);
    case 'Gather':
      return gather(node, fields, graph);
    case 'Split':
      return onChannels(node, fields, attribute(node, 'axis', 'int') ?? 0);
    case 'Slice':
      return constantAxes(graph, node, 3).reduce<Fields>((kept, axis) => onChannels(node, kept, axis), fields);
    case 'Squeeze':
      if (constantAxes(graph, node, 1).length === 0) throw nodeError(node, 'its axes are not constant');
      return withoutAxes(node, fields, constantAxes(graph, node, 1));
    case 'Unsqueeze':
      return withAxes(fields, constantAxes(graph, node, 1));
    default:
      throw nodeError(node, 'the map geometry cannot be followed through this operator');
  }
}

/** The sides of a convolution's kernel; undefined for poolings, which have them as an attribute. */
function kernelOf(graph: Graph, node: Node): readonly number[] | undefined {
  return node.op === 'Conv' ? graph.initializers.get(node.inputs[1] ?? '')?.dims.slice(2) : undefined;
}

/** `centre`: how far each window looks behind its middle, in its own cells. */
function slide(node: Node, fields: Fields, windows: readonly Window[], centre?: KernelCentre): Fields {
  return fields.map((field, axis) => {
    const window = windows[axis - 2];
    if (window === undefined) return undefined;
    if (field === undefined) throw nodeError(node, 'its windows slide over an axis that is not spatial');
    if (window.auto.startsWith('SAME')) throw nodeError(node, 'its padding depends on the size of its input');
    const { value, variance } = centre?.[axis - 2] ?? { value: 0, variance: 0 };
    return {
      stride: field.stride * window.stride,
      start: field.start + (value * window.dilation - window.padBegin) * field.stride,
      size: field.size + (windowExtent(window) - 1) * field.stride,
      variance: field.variance + variance * (window.dilation * field.stride) ** 2,
    };
  });
}

/** Padding as a node of its own: cell 0 moves out by the cells added before it. */
function shift(node: Node, fields: Fields, graph: Graph): Fields {
  const constant = graph.initializers.get(node.inputs[1] ?? '');
  const pads = attribute(node, 'pads', 'ints') ?? (constant && integerValues(constant));
  const given = constantAxes(graph, node, 3).map((axis) => (axis < 0 ? axis + fields.length : axis));
  const axes = (node.inputs[3] ?? '') === '' ? [...fields.keys()] : given;
  if (pads?.length !== 2 * axes.length) throw nodeError(node, 'its padding is not a constant for its axes');
  const before = (axis: number): number => pads[axes.indexOf(axis)] ?? 0;
  return fields.map((field, axis) => field && { ...field, start: field.start - before(axis) * field.stride });
}

/** A reduction over both spatial axes gives a value without a place. */
function reduce(node: Node, fields: Fields, graph: Graph): Fields {
  const axes = constantAxes(graph, node, 1).map((axis) => (axis < 0 ? axis + fields.length : axis));
  const spatial = [...fields.keys()].filter((axis) => fields[axis] !== undefined);
  if (axes.length === 0 || spatial.every((axis) => axes.includes(axis))) return [];
  if (axes.some((axis) => spatial.includes(axis))) throw nodeError(node, 'it reduces one of two spatial axes');
  return attribute(node, 'keepdims', 'int') === 0 ? withoutAxes(node, fields, axes) : fields;
}

/** A single index drops the axis it picks from. */
function gather(node: Node, fields: Fields, graph: Graph): Fields {
  const axis = attribute(node, 'axis', 'int') ?? 0;
  const rank = graph.initializers.get(node.inputs[1] ?? '')?.dims.length;
  return rank === 0 ? withoutAxes(node, fields, [axis]) : onChannels(node, fields, axis);
}

/** The axes from a constant input or, in older operator sets, from an attribute; empty if neither is there. */
function constantAxes(graph: Graph, node: Node, index: number): readonly number[] {
  const constant = graph.initializers.get(node.inputs[index] ?? '');
  return attribute(node, 'axes', 'ints') ?? (constant && integerValues(constant)) ?? [];
}

function withoutAxes(node: Node, fields: Fields, axes: readonly number[]): Fields {
  const dropped = axes.map((axis) => (axis < 0 ? axis + fields.length : axis));
  for (const axis of dropped) onChannels(node, fields, axis);
  return fields.filter((_, axis) => !dropped.includes(axis));
}

function withAxes(fields: Fields, axes: readonly number[]): Fields {
  const rank = fields.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = fields.values();
  return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? undefined : rest.next().value));
}

function onChannels(node: Node, fields: Fields, axis: number): Fields {
  if (fields.at(axis) !== undefined) throw nodeError(node, 'it works along a spatial axis');
  return fields;
}

/** What works along all axes from this one on. */
function onLastAxes(node: Node, fields: Fields, axis: number): Fields {
  const from = axis < 0 ? axis + fields.length : axis;
  return fields.reduce<Fields>((kept, _, each) => (each < from ? kept : onChannels(node, kept, each)), fields);
}

/** Union of the fields of branches that join. */
function join(node: Node, branches: readonly Fields[]): Fields {
  const [first, ...rest] = branches;
  if (first === undefined) throw nodeError(node, 'none of its inputs comes from the image');
  return rest.reduce<Fields>(
    (joined, branch) =>
      joined.map((a, axis) => {
        const b = branch[axis];
        if (a === undefined || b === undefined) return a ?? b;
        if (a.stride !== b.stride) throw nodeError(node, `branches of stride ${a.stride} and ${b.stride} join`);
        const start = Math.min(a.start, b.start);
        const end = Math.max(a.start + a.size, b.start + b.size);
        return { stride: a.stride, start, size: end - start, variance: Math.max(a.variance, b.variance) };
      }),
    first,
  );
}
