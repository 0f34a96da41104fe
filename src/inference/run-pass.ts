/**
 * Third step of a request, **run**: one pass through its session, in some batch. Its pixels are decoded where the batch runs.
 * An input that was planned in tiles is decoded and run tile by tile, and its outputs put together as those of one run.
 */
import pLimit from 'p-limit';
import type { Batcher } from '../batching/batcher.js';
import type { Background, EncodedPhoto, Interpolation } from '../images/decode.js';
import type { PixelRectangle } from '../maps/input-plan.js';
import { joinTiles, type Tile, type Tiling } from '../maps/tiles.js';
import { elementCount, type TensorMap } from '../tensor.js';
import { inTurns } from '../turns.js';
import type { PassPlan } from './plan.js';
import { allTogether, checkAlive, type RequestContext } from './request-context.js';
import { followItem } from './item-trace.js';
import { sumTimings, type Timing } from './timing.js';
import type { Work, WorkOutput } from './work.js';

const TILES_AT_ONCE = 2;

export interface PassRun {
  readonly pass: PassPlan;
  /** The id of its open session. */
  readonly session: string;
  /** One object for all passes of an image. */
  readonly photo: EncodedPhoto;
  readonly interpolation: Interpolation;
  readonly background: Background;
  /** For a dense view: class selectors, see classes.ts. */
  readonly classes: readonly number[] | undefined;
}

export interface RanPass extends Timing {
  /** What leaves the session, the caller's own. */
  readonly outputs: TensorMap;
}

/** Rejects with IMAGE_UNDECODABLE, or as Batcher.submit does. */
export async function runPass(
  batcher: Batcher<Work, WorkOutput>,
  { pass, session, photo, interpolation, background, classes }: PassRun,
  context: RequestContext,
): Promise<RanPass> {
  const { input, mirrored, tiling, cost, decodeMs, bytes } = pass;

  async function run(
    tile: Tile | undefined,
    { flow, priority, deadline, signal, notes }: RequestContext,
  ): Promise<RanPass> {
    const part = tile === undefined ? undefined : partOf(tile, pass);
    const { width, height } = part ?? input.crop;
    const image = { photo, input, part, mirrored, interpolation, background };
    const shape = `image [${height},${width}] classes [${classes?.length ?? ''}]`;
    const work = { image, classes };
    const submission = {
      ...{ session, shape, work, cost, bytes, flow, priority, deadline, signal },
      prepareMs: decodeMs,
    };
    const trace = notes?.trace;
    const { output, queueMs, inferMs, batchSize } = await (trace === undefined
      ? batcher.submit(submission)
      : followItem(trace, submission, (followed) => batcher.submit(followed)));
    checkOutputs(output.outputs);
    return { outputs: output.outputs, decodeMs: output.decodeMs, queueMs, inferMs, batchSize };
  }

  return tiling === undefined ? run(undefined, context) : runTiles(tiling, context, run);
}

/**
 * The process that made them may be broken: nothing is allocated for dimensions that the values do not fill. Throws where
 * these differ.
 */
function checkOutputs(outputs: TensorMap): void {
  for (const [name, { dims, data }] of Object.entries(outputs)) {
    if (elementCount(dims) === data.length) continue;
    throw new Error(`the output ${name} [${dims.join(',')}] has ${data.length} values`);
  }
}

/** Where a tile's pixels are in the input. Of a mirrored pass the tiles are those of the mirrored input. */
function partOf({ pixels }: Tile, { input, mirrored }: PassPlan): PixelRectangle {
  return mirrored ? { ...pixels, left: input.crop.width - pixels.left - pixels.width } : pixels;
}

/** Run the tiles, a few at a time, so that a pass of many tiles does not fill the queue. */
async function runTiles(
  tiling: Tiling,
  context: RequestContext,
  run: (tile: Tile, context: RequestContext) => Promise<RanPass>,
): Promise<RanPass> {
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
  const parts = ran.map(({ outputs }) => outputs);
  return {
    ...sumTimings(ran),
    queueMs: ran[0]?.queueMs ?? 0,
    outputs: await inTurns(joinTiles(tiling, parts), () => checkAlive(context)),
  };
}
