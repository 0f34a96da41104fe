/**
 * The centres of a net's kernels (graph/effective-centre.ts), read from its weights: at most `SAMPLE` numbers of each
 * kernel, whole output channels of it, so that a large net costs a few milliseconds and no memory that stays.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BYTES_PER_ELEMENT, halfValue } from '../../graph/constants.js';
import { attribute } from '../../graph/attributes.js';
import type { KernelCentre, KernelCentres } from '../../graph/geometry.js';
import type { DataType, Graph, Initializer, InitializerData, Node } from '../../graph/graph.js';
import { elementCount } from '../../tensor.js';
import { readExactly } from '../files/file-access.js';

/** Numbers of a kernel: their mean place is then within a hundredth of a cell of that of all of them. */
const SAMPLE = 2 ** 16;

/** The numbers behind a kernel, row-major over `dims`, and which of these axes are the kernel's [M, C, kH, kW]. */
interface StoredKernel {
  readonly data: InitializerData;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly axes: readonly number[];
}

/** What may stand between a stored tensor and a kernel: another precision, another order. Scales stay the same for all taps. */
const BETWEEN = new Set(['Cast', 'Identity', 'DequantizeLinear', 'Transpose']);

/** The centres of all kernels over areas whose weights can be read; `folder` is what the graph's external data is in. */
export async function readKernelCentres(graph: Graph, folder: string): Promise<KernelCentres> {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const files = new Map<string, FileHandle>();
  const centres = new Map<string, KernelCentre>();
  try {
    for (const { op, inputs } of graph.nodes) {
      const name = inputs[1] ?? '';
      const kernel = op === 'Conv' && !centres.has(name) ? storedKernel(graph, makers, name) : undefined;
      if (kernel === undefined || !coversArea(kernel)) continue;
      const values = await readSample(kernel, folder, files);
      const centre = values && centreOf(kernel, values);
      if (centre !== undefined) centres.set(name, centre);
    }
    return centres;
  } finally {
    for (const handle of files.values()) await handle.close();
  }
}

function storedKernel(graph: Graph, makers: ReadonlyMap<string, Node>, name: string): StoredKernel | undefined {
  const initializer = graph.initializers.get(name);
  if (initializer !== undefined) return asStored(initializer);
  const maker = makers.get(name);
  if (maker === undefined || !BETWEEN.has(maker.op)) return undefined;
  const behind = storedKernel(graph, makers, maker.inputs[0] ?? '');
  if (behind === undefined || maker.op !== 'Transpose') return behind;
  const order = attribute(maker, 'perm', 'ints') ?? [3, 2, 1, 0];
  return { ...behind, axes: order.map((axis) => behind.axes[axis]!) };
}

/** Undefined for what is no kernel, or lies in an order that also changes its shape. */
function asStored({ data, dataType, dims, quantization }: Initializer): StoredKernel | undefined {
  const external = data.kind === 'external' ? data : undefined;
  const storedAs = external?.storedAs ?? quantization?.storedAs;
  const stored = external?.arrangement ?? { dims, perm: [...dims.keys()] };
  const isReshaped =
    stored.perm.length !== dims.length || stored.perm.some((axis, to) => stored.dims[axis] !== dims[to]);
  if (dims.length !== 4 || isReshaped) return undefined;
  return { data, dataType: storedAs ?? dataType, dims: stored.dims, axes: stored.perm };
}

function coversArea({ dims, axes }: StoredKernel): boolean {
  return axes.slice(2).some((axis) => dims[axis]! > 1);
}

/** The first numbers of a tensor that end with a whole index of its first axis, all where that is one of the area's. */
async function readSample(
  { dims, dataType, data, axes }: StoredKernel,
  folder: string,
  files: Map<string, FileHandle>,
): Promise<ArrayLike<number> | undefined> {
  const perIndex = elementCount(dims.slice(1));
  const indices = axes.indexOf(0) < 2 ? Math.min(dims[0]!, Math.max(1, Math.floor(SAMPLE / perIndex))) : dims[0]!;
  const length = indices * perIndex * BYTES_PER_ELEMENT[dataType];
  if (data.kind === 'unbound') return undefined;
  if (data.kind === 'inline') return asNumbers(data.bytes.slice(0, length), dataType);
  const path = join(folder, data.file);
  const handle = files.get(path) ?? (await open(path));
  files.set(path, handle);
  return asNumbers(await readExactly(handle, path, length, data.offset), dataType);
}

/** Each of the 65,536 numbers in half precision, by its bits; made when it is first needed. */
let halves: Float32Array | undefined;

function halvesAsNumbers(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 2 ** 16 }, (_, index) => halfValue(index));
  const numbers = new Float32Array(bits.length);
  for (let index = 0; index < bits.length; index += 1) numbers[index] = halves[bits[index]!]!;
  return numbers;
}

/** `bytes` begin a buffer of their own. */
function asNumbers({ buffer, byteLength }: Uint8Array, dataType: DataType): ArrayLike<number> | undefined {
  switch (dataType) {
    case 'float32':
      return new Float32Array(buffer, 0, byteLength / 4);
    case 'float64':
      return new Float64Array(buffer, 0, byteLength / 8);
    case 'float16':
      return halvesAsNumbers(new Uint16Array(buffer, 0, byteLength / 2));
    case 'int8':
      return new Int8Array(buffer, 0, byteLength);
    default:
      return undefined;
  }
}

function centreOf({ dims, axes }: StoredKernel, values: ArrayLike<number>): KernelCentre | undefined {
  const [heightAxis, widthAxis] = [axes[2]!, axes[3]!];
  const step = (axis: number): number => elementCount(dims.slice(axis + 1));
  const [height, width, rowStep, columnStep] = [dims[heightAxis]!, dims[widthAxis]!, step(heightAxis), step(widthAxis)];
  // Rows and columns come again with this period.
  const period = Math.max(height * rowStep, width * columnStep);
  let [mass, y, x, yVariance, xVariance] = [0, 0, 0, 0, 0];
  for (let tap = 0; tap < Math.min(period, values.length); tap += 1) {
    const row = (Math.floor(tap / rowStep) % height) - (height - 1) / 2;
    const column = (Math.floor(tap / columnStep) % width) - (width - 1) / 2;
    let [energy, squares] = [0, 0];
    for (let index = tap; index < values.length; index += period) {
      const square = values[index]! ** 2;
      energy += square;
      squares += square * square;
    }
    mass += energy;
    y += energy * row;
    x += energy * column;
    yVariance += squares * row ** 2;
    xVariance += squares * column ** 2;
  }
  // Nothing but zeros, or what is no number: such a kernel looks nowhere.
  if (!(mass > 0 && Number.isFinite(mass))) return undefined;
  return [
    { value: y / mass, variance: yVariance / mass ** 2 },
    { value: x / mass, variance: xVariance / mass ** 2 },
  ];
}
