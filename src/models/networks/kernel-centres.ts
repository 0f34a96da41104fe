/**
 * Computes the centres of a net's kernels (graph/effective-centre.ts) from its weights. About `SAMPLE` numbers of each
 * kernel are read, in whole output channels, so that a large net costs a few milliseconds and no lasting memory.
 */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BYTES_PER_ELEMENT, halfValue } from '../../graph/constants.js';
import { attribute } from '../../graph/attributes.js';
import type { KernelCentre, KernelCentres } from '../../graph/geometry.js';
import type { DataType, Graph, Initializer, InitializerData, Node } from '../../graph/graph.js';
import { elementCount } from '../../tensor.js';
import { openModelFile, readExactly } from '../files/file-access.js';

/** Numbers read of a kernel: enough to place its centre to a hundredth of a cell. */
const SAMPLE = 2 ** 16;

/** The stored numbers of a kernel, row-major over `dims`; `axes` has the axis in `dims` of each of M, C, kH and kW. */
interface StoredKernel {
  readonly data: InitializerData;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly axes: readonly number[];
}

/**
 * Operators allowed between a stored tensor and a kernel: they change precision, order or the scale of all taps alike.
 */
const BETWEEN = new Set(['Cast', 'Identity', 'DequantizeLinear', 'Transpose']);

/** The centres of all kernels larger than 1×1 whose weights can be read. `folder` holds the graph's external data. */
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

/** Undefined for tensors that are not kernels, and for stored orders that also change the shape. */
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

/**
 * The first numbers of a tensor, up to a whole index of its first axis; all of them if that axis is the kernel's height
 * or width. Undefined if they cannot be read as numbers.
 */
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
  const handle = files.get(path) ?? (await openModelFile(path));
  files.set(path, handle);
  return asNumbers(await readExactly(handle, path, length, data.offset), dataType);
}

/** All 65,536 half-precision numbers by their bits; made on first use. */
let halves: Float32Array | undefined;

function halvesAsNumbers(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 2 ** 16 }, (_, index) => halfValue(index));
  const numbers = new Float32Array(bits.length);
  for (let index = 0; index < bits.length; index += 1) numbers[index] = halves[bits[index]!]!;
  return numbers;
}

/** The bytes must be at offset 0 of their buffer. Undefined for types that are not decoded here. */
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
  // Rows and columns repeat with this period.
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
  // A kernel of zeros only, or with NaN or infinite numbers, has no centre.
  if (!(mass > 0 && Number.isFinite(mass))) return undefined;
  return [
    { value: y / mass, variance: yVariance / mass ** 2 },
    { value: x / mass, variance: xVariance / mass ** 2 },
  ];
}
