/**
 * Fourth step of a request, **run**: sends the pixels of one pass through its session, in some batch. An input that was
 * planned in tiles is run tile by tile, and the outputs are joined as if from one run.
 */
import pLimit from 'p-limit';
import type { Batcher, ItemResult } from '../batching/batcher.js';
import type { PixelSize } from '../maps/input-plan.js';
import { cutTile, joinTiles, type Tile, type Tiling } from '../maps/tiles.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { PassPlan } from './plan.js';
import { allTogether, checkAlive, type RequestContext } from './request-context.js';

const TILES_AT_ONCE = 2;

export interface PassRun {
  readonly pass: PassPlan;
  /** The id of its open session. */
  readonly session: string;
  /** `[h, w, 3]`, only read. */
  readonly pixels: Uint8Array;
  /** For a dense view: class selectors, see classes.ts. */
  readonly classes: readonly number[] | undefined;
}

/** Run the pass. The caller owns the outputs. Rejects as Batcher.submit does. */
export async function runPass(
  batcher: Batcher,
  { pass, session, pixels, classes }: PassRun,
  context: RequestContext,
): Promise<ItemResult> {
  const { input, tiling, cost } = pass;
  const run = (
    part: Uint8Array,
    size: PixelSize,
    { priority, deadline, signal }: RequestContext,
  ): Promise<ItemResult> =>
    batcher.submit({ session, feeds: feedsOf(part, size, classes), cost, priority, deadline, signal });
  if (tiling === undefined) return run(pixels, input.crop, context);
  return runTiles(tiling, context, (tile, shared) => run(cutTile(pixels, input.crop, tile), tile.pixels, shared));
}

/** The inputs of a session for one image: its pixels, and for a dense view the classes. */
function feedsOf(pixels: Uint8Array, { width, height }: PixelSize, classes: readonly number[] | undefined): TensorMap {
  const image: Tensor = { type: 'uint8', dims: [height, width, 3], data: pixels };
  if (classes === undefined) return { image };
  return { image, classes: { type: 'int64', dims: [classes.length], data: BigInt64Array.from(classes, BigInt) } };
}

/** Run the tiles, a few at a time, so that a pass of many tiles does not fill the queue. */
async function runTiles(
  tiling: Tiling,
  context: RequestContext,
  run: (tile: Tile, context: RequestContext) => Promise<ItemResult>,
): Promise<ItemResult> {
  const slots = pLimit(TILES_AT_ONCE);
  const ran = await allTogether(
    context,
    tiling.tiles.map(
      (tile) => (shared) =>
        slots(() => {
          checkAlive(shared);
          return run(tile, shared);
        }),
    ),
  );
  return {
    outputs: joinTiles(
      tiling,
      ran.map(({ outputs }) => outputs),
    ),
    queueMs: ran[0]?.queueMs ?? 0,
    inferMs: ran.reduce((sum, { inferMs }) => sum + inferMs, 0),
    batchSize: Math.max(...ran.map(({ batchSize }) => batchSize)),
  };
}
