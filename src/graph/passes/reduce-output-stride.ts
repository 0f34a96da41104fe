/**
 * A finer map from the same weights: the last windows take smaller steps, and the windows behind them skip the cells
 * that are new (à trous).
 *
 *   Before: … → window of stride s → windows of dilation d, padding p → map of output stride S
 *   After:  … → window of stride 1 → windows of dilation R·d, padding R·p → map of output stride S / R
 *
 * Preconditions: the windows reach the stride S / R on the way, or the stride of one can be divided to reach it. The
 * nodes behind it see cells one by one or by windows; pooling over the whole map (squeeze and excitation) would see
 * other cells. Padding does not depend on the size (resolve-auto-padding.ts).
 *
 * Equal at the old positions, X'[R·i] = X[i], layer by layer. With rates r before a window and R behind it:
 *
 *   Y'[R·j] = Σ_k w_k · X'[r·(s·j + d·k − p)] = Σ_k w_k · X[s·j + d·k − p] = Y[j]
 *
 * which is a window of stride s·r/R, dilation r·d and padding r·p. Padding stays padding because a fine map has at most
 * r cells for each coarse one. The cells in between are the maps of the shifted image (shift-and-stitch). Source:
 * Holschneider 1989 (algorithme à trous), Long 2015 §3.2, Chen 2015 §3.1.
 */
import { attribute, int, ints } from '../attributes.js';
import { classMapOf } from '../class-map.js';
import { integerValues } from '../constants.js';
import { followFields, type Fields } from '../geometry.js';
import type { Attribute, Graph, Node } from '../graph.js';
import { imageShapes } from '../native-shapes.js';
import { isOfKind, readsWholeMap } from '../operators.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Draft } from '../rewrite.js';
import { inferKnownShapes } from '../shapes.js';
import { windowExtent, windowsOf, type Window } from '../windows.js';

/** The pass, for a graph whose output is a map. No match where the map has this output stride, or cannot have it. */
export function reduceOutputStride(outputStride: number): Pass {
  return { name: 'reduce-output-stride', apply: (graph) => reduce(graph, outputStride) };
}

function reduce(graph: Graph, outputStride: number): Graph | undefined {
  const map = classMapOf(graph);
  if (map === undefined) return undefined;
  const fields = followFields(graph, map.name);
  /** Fine cells along a side for each coarse one. */
  const rateOf = (value = ''): number => Math.max(1, strideOf(fields.get(value)) / outputStride);
  if (rateOf(map.name) === 1) return undefined;

  // Channels do not depend on the size, if it is large enough.
  let shapes: ReadonlyMap<string, readonly number[]> | undefined;
  const known: Known = {
    fieldsOf: (value) => fields.get(value),
    channelsOf: (value) => (shapes ??= inferKnownShapes(graph, imageShapes(graph, LARGE_IMAGE))).get(value)?.[1],
  };
  return rewriteNodes(graph, (node, draft) => {
    const rates = { before: rateOf(node.inputs[0]), after: rateOf(node.outputs[0]) };
    return rates.before === 1 && rates.after === 1 ? node : refine(node, rates, known, draft);
  });
}

const LARGE_IMAGE = { batch: 1, height: 1024, width: 1024 };

/** Pixels between the cells of a map, the same along both axes (geometry.ts); 1 for a value without a place. */
function strideOf(fields: Fields | undefined): number {
  return fields?.find((field) => field !== undefined)?.stride ?? 1;
}

/** Cells for each coarse one in front of a node and behind it. */
interface Rates {
  readonly before: number;
  readonly after: number;
}

/** What is known of the graph whose nodes are refined. */
interface Known {
  fieldsOf(value: string): Fields | undefined;
  /** C of a map [N, C, h, w]; undefined if it is not known. */
  channelsOf(value: string): number | undefined;
}

/** The refined node; undefined if it cannot be refined. */
function refine(node: Node, rates: Rates, known: Known, draft: Draft): Node | undefined {
  if (![rates.before, rates.after].every(Number.isInteger) || readsWholeMap(node)) return undefined;
  switch (node.op) {
    case 'Conv': {
      const kernel = draft.initializer(node.inputs[1])?.dims.slice(2);
      const windows = refineWindows(windowsOf(node, kernel), rates, false);
      return windows && withWindows(node, windows);
    }
    case 'MaxPool': {
      const windows = refineWindows(windowsOf(node), rates, false);
      return windows && refineMaximum(node, windows, draft);
    }
    case 'AveragePool': {
      const countsPadding = attribute(node, 'count_include_pad', 'int') === 1;
      const windows = refineWindows(windowsOf(node), rates, countsPadding);
      return windows && refineMean(node, windows, { countsPadding, known, draft });
    }
    case 'Pad':
      return refinePad(node, rates.before, known, draft);
    default:
      // Other windows (LpPool) cannot be dilated.
      return isOfKind(node, 'window') ? undefined : node;
  }
}

/** A window along one axis whose padding is given by numbers. */
type FineWindow = Pick<Window, 'kernel' | 'stride' | 'dilation' | 'padBegin' | 'padEnd'>;

function refineWindows(
  windows: readonly Window[],
  { before, after }: Rates,
  countsPadding: boolean,
): readonly FineWindow[] | undefined {
  const refined = windows.map((window): FineWindow | undefined => {
    const stride = (window.stride * before) / after;
    const pads = coarsePadding(window, countsPadding);
    if (!Number.isInteger(stride) || pads === undefined) return undefined;
    const { kernel, dilation } = window;
    return {
      kernel,
      stride,
      dilation: dilation * before,
      padBegin: pads.begin * before,
      padEnd: pads.end * before,
    };
  });
  return refined.every((window) => window !== undefined) ? refined : undefined;
}

/**
 * The padding, in coarse cells, that gives every window of the coarse map its place in the fine one. A last, partial
 * window (ceil_mode) sees more padding at the end. Undefined if that would count in a mean, if a window could lie
 * entirely in the padding, and for SAME, whose padding depends on the size.
 */
function coarsePadding(window: Window, countsPadding: boolean): { begin: number; end: number } | undefined {
  const begin = window.padBegin;
  switch (window.auto) {
    case 'VALID':
      return { begin: 0, end: 0 };
    case 'SAME_UPPER':
    case 'SAME_LOWER':
      return undefined;
    case 'NOTSET': {
      if (!window.ceil) return { begin, end: window.padEnd };
      const end = window.padEnd + window.stride - 1;
      return countsPadding || end >= windowExtent(window) ? undefined : { begin, end };
    }
  }
}

function withWindows(node: Node, windows: readonly FineWindow[]): Node {
  const { ceil_mode: _ceil, auto_pad: auto, ...others } = node.attributes;
  const { pads, ...attributes } = windowAttributes(windows);
  // VALID may be there to keep padding apart (keep-padding-apart.ts).
  const isValid = auto?.type === 'string' && auto.value === 'VALID' && padsOf(windows).every((cells) => cells === 0);
  return { ...node, attributes: { ...others, ...attributes, ...(isValid ? { auto_pad: auto } : { pads }) } };
}

function windowAttributes(
  windows: readonly FineWindow[],
): Record<'kernel_shape' | 'strides' | 'dilations' | 'pads', Attribute> {
  return {
    kernel_shape: ints(...windows.map(({ kernel }) => kernel)),
    strides: ints(...windows.map(({ stride }) => stride)),
    dilations: ints(...windows.map(({ dilation }) => dilation)),
    pads: ints(...padsOf(windows)),
  };
}

function padsOf(windows: readonly FineWindow[]): number[] {
  return [...windows.map(({ padBegin }) => padBegin), ...windows.map(({ padEnd }) => padEnd)];
}

/** onnxruntime's poolings refuse padding as wide as the kernel; a Pad node in front of them can do it instead. */
function fitsKernel(windows: readonly FineWindow[]): boolean {
  return windows.every(({ kernel, padBegin, padEnd }) => Math.max(padBegin, padEnd) < kernel);
}

function refineMaximum(node: Node, windows: readonly FineWindow[], draft: Draft): Node {
  if (fitsKernel(windows)) return withWindows(node, windows);
  const [x = ''] = node.inputs;
  const pads = padsOf(windows);
  const around = [0, 0, ...pads.slice(0, 2), 0, 0, ...pads.slice(2)];
  const amounts = draft.constant(`${node.name}.pads`, 'int64', [around.length], around);
  const lowest = draft.constant(`${node.name}.lowest`, 'float32', [], [-Infinity]);
  const padded = draft.node('Pad', [x, amounts, lowest], `${node.name}.padded`);
  const unpadded = windows.map((window) => ({ ...window, padBegin: 0, padEnd: 0 }));
  return withWindows({ ...node, inputs: [padded] }, unpadded);
}

/**
 * A depthwise convolution with equal weights. Where padding is left out of the mean, its result is divided by the part of
 * each window that is not padding: the same convolution of a map of ones.
 */
function refineMean(
  node: Node,
  windows: readonly FineWindow[],
  { countsPadding, known, draft }: { readonly countsPadding: boolean; readonly known: Known; readonly draft: Draft },
): Node | undefined {
  const [x = ''] = node.inputs;
  const channels = known.channelsOf(x);
  if (channels === undefined) return undefined;
  const kernel = windows.map((window) => window.kernel);
  const cells = kernel.reduce((product, side) => product * side, 1);
  const weightsOf = (count: number): string => {
    const weights = Array<number>(count * cells).fill(1 / cells);
    return draft.constant(`${node.name}.weight`, 'float32', [count, 1, ...kernel], weights);
  };
  const attributes = windowAttributes(windows);
  const means: Node = {
    ...node,
    op: 'Conv',
    inputs: [x, weightsOf(channels)],
    attributes: { ...attributes, group: int(channels) },
  };
  if (countsPadding || padsOf(windows).every((pad) => pad === 0)) return means;

  const axis = (value: number): string => draft.constant(`${node.name}.axis`, 'int64', [1], [value]);
  const one = draft.constant(`${node.name}.one`, 'float32', [], [1]);
  const channel = draft.node('Slice', [x, axis(0), axis(1), axis(1)], `${node.name}.channel`);
  const ones = draft.node('Clip', [channel, one, one], `${node.name}.ones`);
  const share = draft.node('Conv', [ones, weightsOf(1)], `${node.name}.share`, attributes);
  const sum = draft.fresh(`${node.name}.sum`);
  draft.add({ ...means, name: sum, outputs: [sum] });
  return { ...node, op: 'Div', inputs: [sum, share], attributes: {} };
}

/**
 * Scale the amounts of a Pad with a constant around the whole map. Padding that repeats or mirrors the map would have
 * to pick the coarse cells, so it cannot be refined.
 */
function refinePad(node: Node, rate: number, known: Known, draft: Draft): Node | undefined {
  const [x = '', amounts = '', value = '', axes = ''] = node.inputs;
  const [constant, fields] = [draft.initializer(amounts), known.fieldsOf(x)];
  const pads = constant && integerValues(constant);
  const isConstant = (attribute(node, 'mode', 'string') ?? 'constant') === 'constant';
  if (fields === undefined || pads?.length !== 2 * fields.length || axes !== '' || !isConstant) return undefined;
  const scaled = pads.map((cells, index) => (fields[index % fields.length] === undefined ? cells : cells * rate));
  return { ...node, inputs: [x, draft.constant(`${amounts}.x${rate}`, 'int64', [scaled.length], scaled), value] };
}
