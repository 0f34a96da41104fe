/**
 * Cuts an input that is too large for one run into overlapping tiles, and joins their maps. Pure.
 *
 * A cell of a tile is kept only if its receptive field lies in the tile, or leaves it over the border of the input.
 * Then the cell sees what it would see in the whole input, so the maps are equal. Two more things must hold. Tiles
 * begin at multiples of the net's own output stride, so that no window of a strided layer shifts. And a tile's length
 * equals the input's modulo that stride, so that padding that depends on the length (SAME) is the same.
 *
 * The mean logits of the whole map are the mean over the tiles, in which cells of the overlaps count twice.
 */
import { elementCount, type Tensor, type TensorMap } from '../tensor.js';
import type { PixelRectangle, PixelSize } from './input-plan.js';
import { StepCounter, type Steps } from './steps.js';

/** What tiles need to know about a dense view, along either axis. */
export interface TileGeometry {
  /** In pixels: the step between cells, the centre of the first cell's receptive field, and that field's length. */
  readonly outputStride: number;
  readonly offset: number;
  readonly receptiveField: number;
  /** The net's own output stride, a multiple of the view's. */
  readonly alignment: number;
  readonly mapSize: (input: PixelSize) => PixelSize;
}

/**
 * A part of the input, and where the kept cells of its map go in the whole. Cells are whole numbers; `end` is not kept.
 */
export interface Tile {
  readonly pixels: PixelRectangle;
  readonly x: KeptCells;
  readonly y: KeptCells;
}

interface KeptCells {
  readonly from: number;
  readonly end: number;
  /** Where cell 0 of the tile is in the whole. */
  readonly shift: number;
}

export interface Tiling {
  /** Of the whole map. */
  readonly map: PixelSize;
  readonly tiles: readonly Tile[];
}

/**
 * Tiles of at most `maxPixels` each; undefined if the receptive field leaves too little of a tile: less than a quarter
 * of its length along an axis.
 */
export function planTiles(input: PixelSize, geometry: TileGeometry, maxPixels: number): Tiling | undefined {
  const side = Math.floor(Math.sqrt(maxPixels));
  const width = input.width <= side ? input.width : Math.max(side, Math.floor(maxPixels / input.height));
  const height = Math.floor(maxPixels / Math.min(width, input.width));
  const lengths = { width: lengthOf(input.width, width, geometry), height: lengthOf(input.height, height, geometry) };
  if (lengths.width < 1 || lengths.height < 1) return undefined;
  const tileMap = geometry.mapSize(lengths);
  const map = geometry.mapSize(input);
  const xs = planAxis(input.width, lengths.width, tileMap.width, geometry);
  const ys = planAxis(input.height, lengths.height, tileMap.height, geometry);
  if (xs === undefined || ys === undefined) return undefined;
  const tiles = ys.flatMap((y) =>
    xs.map((x) => ({ pixels: { left: x.start, top: y.start, ...lengths }, x: x.kept, y: y.kept })),
  );
  return { map, tiles };
}

/** The longest length up to `most` that equals the whole's modulo the alignment. */
function lengthOf(whole: number, most: number, { alignment }: TileGeometry): number {
  return most >= whole ? whole : whole - Math.ceil((whole - most) / alignment) * alignment;
}

function planAxis(
  whole: number,
  length: number,
  cells: number,
  { outputStride, offset, receptiveField, alignment }: TileGeometry,
): { start: number; kept: KeptCells }[] | undefined {
  if (length === whole) return [{ start: 0, kept: { from: 0, end: cells, shift: 0 } }];
  const first = Math.max(0, Math.ceil((receptiveField / 2 - offset) / outputStride));
  const last = Math.min(cells - 1, Math.floor((length - receptiveField / 2 - offset) / outputStride));
  const step = Math.floor(((last - first + 1) * outputStride) / alignment) * alignment;
  if (step < length / 4) return undefined;
  const count = Math.ceil((whole - length) / step) + 1;
  return Array.from({ length: count }, (_, position) => {
    const start = Math.min(position * step, whole - length);
    const from = start === 0 ? 0 : first;
    const end = start + length === whole ? cells : last + 1;
    return { start, kept: { from, end, shift: start / outputStride } };
  });
}

/** Selected by no tile alike: to be asked for again by index. */
const UNDECIDED = -1n;

/** Join the outputs of the tiles' runs, as if from one run over the whole. */
export function* joinTiles({ map, tiles }: Tiling, outputs: readonly TensorMap[]): Steps<TensorMap> {
  const [first] = outputs;
  if (first === undefined) throw new Error('there is no tile');
  const joined: Record<string, Tensor> = {};
  for (const name of Object.keys(first)) {
    const parts = outputs.map((tensors) => tensors[name]!);
    if (name === 'logits') joined[name] = meanOf(parts);
    else joined[name] = name === 'classes_selected' ? agreedBy(parts) : yield* joinMaps(map, tiles, parts);
    yield;
  }
  return joined;
}

function meanOf(parts: readonly Tensor[]): Tensor {
  const [first] = parts as readonly [Tensor<'float32'>, ...Tensor[]];
  const data = first.data.map((_, k) => parts.reduce((sum, part) => sum + Number(part.data[k]), 0) / parts.length);
  return { ...first, data };
}

function agreedBy(parts: readonly Tensor[]): Tensor {
  const [first] = parts as readonly [Tensor<'int64'>, ...Tensor[]];
  return {
    ...first,
    data: first.data.map((index, k) => (parts.every((part) => part.data[k] === index) ? index : UNDECIDED)),
  };
}

/** `[…, h, w]` of each tile → `[…, height, width]`. */
function* joinMaps(map: PixelSize, tiles: readonly Tile[], parts: readonly Tensor[]): Steps<Tensor> {
  const [{ type, dims }] = parts as readonly [Tensor, ...Tensor[]];
  const [height = 0, width = 0] = dims.slice(-2);
  const planes = elementCount(dims.slice(0, -2));
  const whole = [...dims.slice(0, -2), map.height, map.width];
  const length = elementCount(whole);
  const data = type === 'int32' ? new Int32Array(length) : new Float32Array(length);
  const steps = new StepCounter();
  for (const [position, { x, y }] of tiles.entries()) {
    const part = parts[position]!.data as typeof data;
    for (let plane = 0; plane < planes; plane++) {
      for (let row = y.from; row < y.end; row++) {
        const start = (plane * height + row) * width;
        const to = (plane * map.height + row + y.shift) * map.width + x.from + x.shift;
        data.set(part.subarray(start + x.from, start + x.end), to);
        if (steps.isDue(x.end - x.from)) yield;
      }
    }
  }
  return { type, dims: whole, data };
}
