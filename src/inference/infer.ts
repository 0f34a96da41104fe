/**
 * One image through the network: header → plan → pixels → batch. What classify and heatmap share. Limits are checked on
 * the header and on the plans of all of an image's passes, before a pixel is allocated; a request that is dead already
 * costs neither decoding nor a run.
 */
import pLimit from 'p-limit';
import { ServiceError, type ParameterError } from '../errors.js';
import type { CompiledModel } from '../models/compile.js';
import type { DenseView, View } from '../models/dense-views.js';
import type { Size } from '../models/input-size.js';
import type { SessionLease } from '../models/loaded-model.js';
import { WorkerLostError } from '../runtime/pool.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { Batcher } from './batcher.js';
import { decodeInput, type Background } from './decode.js';
import { readImageHeader, type ImageHeader } from './image-header.js';
import { inputPixels, planInput, type Fit, type InputPlan } from './input-plan.js';
import { allTogether, checkAlive, waitWithin, type RequestContext } from './request-context.js';
import { cutTile, joinTiles, planTiles, type Tile, type Tiling } from './tiles.js';

/** What one pass may cost: as many runs of the largest input. */
const MAX_TILES = 16;
const TILES_AT_ONCE = 2;

/**
 * Values of a class map, cells × classes, that one run may make: 256 MB. A finer output stride of a net whose cost lies in
 * its coarse layers costs little a cell, and takes memory nevertheless.
 */
const MAX_MAP_VALUES = 2 ** 26;

type Ran = Awaited<ReturnType<Batcher['submit']>>;

/** An image as it came in: its name (or its position) for the answer, its encoded bytes. */
export interface ImageInput {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What every request may choose about the way an image goes in. */
export interface InputOptions {
  readonly fit: Fit;
  /** Pixels of the short side; absent: the model's input size. */
  readonly size?: number | undefined;
  readonly scales: readonly number[];
  /** Also run the mirrored image, and average. */
  readonly flip: boolean;
  /** Cut an input beyond the pixel limit into tiles, for a dense view. */
  readonly tiles?: boolean | undefined;
}

export interface InferenceLimits {
  /** Pixels of one photo. */
  readonly maxPixels: number;
  /** Pixels of one network input. */
  readonly maxInputPixels: number;
  /** Images decoded at the same time. */
  readonly decoders: number;
  /** Pictures drawn at the same time. */
  readonly renderers: number;
  /** Passes (images × scales × mirrors) in the server at once. */
  readonly maxQueue: number;
  /** See planInput. Default: 1. */
  readonly inputStep?: number;
}

/** The phases of a request that are measured; see http/metrics.ts. */
export type Phase = 'decode' | 'queue' | 'infer' | 'render';
export type PhaseObserver = (phase: Phase, model: string, milliseconds: number) => void;

/** One run of one image: the plan that made its input, and what left the session. */
export interface Pass {
  readonly plan: InputPlan;
  readonly mirrored: boolean;
  readonly outputs: TensorMap;
  readonly timing: Timing;
}

export interface Timing {
  readonly decodeMs: number;
  /** For a decoder and for a worker. */
  readonly queueMs: number;
  readonly inferMs: number;
  readonly batchSize: number;
}

/** What is done with an image, in which view. */
export interface PassRequest {
  readonly model: CompiledModel;
  /** The view for an input of this size. May throw OUTPUT_UNSUPPORTED. */
  readonly viewFor: (input: Size) => View;
  readonly input: InputOptions;
  /** For a dense view: class selectors, see classes.ts. */
  readonly classes?: readonly number[];
}

/** One way to look at an image: at a scale, as it is or mirrored. */
export interface Variant {
  readonly plan: InputPlan;
  /** Where one run would be too large. */
  readonly tiling: Tiling | undefined;
  readonly mirrored: boolean;
}

export interface Inference {
  /** Check an image's header. Throws UNSUPPORTED_MEDIA_TYPE, IMAGE_UNDECODABLE or IMAGE_TOO_LARGE. */
  header(image: ImageInput): Promise<ImageHeader>;
  /** Every scale, and mirrored too with `flip`, in that order. Throws IMAGE_TOO_LARGE or OUTPUT_UNSUPPORTED. */
  variants(header: ImageHeader, request: PassRequest): Variant[];
  /** Decode and run each variant. Throws ServiceError: deadline, queue full, worker lost. */
  run(
    image: ImageInput,
    header: ImageHeader,
    variants: readonly Variant[],
    request: PassRequest,
    context: RequestContext,
  ): Promise<Pass[]>;
  /** Draw, when a renderer is free; `work` is told how to check that somebody still waits. */
  render<T>(model: CompiledModel, context: RequestContext, work: (checkpoint: () => void) => Promise<T>): Promise<T>;
  /** Take `count` places in the server for a request's passes, or throw QUEUE_FULL. The caller gives them back. */
  admit(count: number): () => void;
  /** Passes now in the server. */
  readonly admitted: number;
}

export interface InferenceParts {
  readonly batcher: Batcher;
  /** Hold the session of a model's view. */
  readonly lease: (model: CompiledModel, view: View) => SessionLease;
  readonly limits: InferenceLimits;
  readonly background: Background;
  readonly observe: PhaseObserver;
}

export function createInference({ batcher, lease, limits, background, observe }: InferenceParts): Inference {
  const decoderSlots = pLimit(limits.decoders);
  const rendererSlots = pLimit(limits.renderers);
  let admitted = 0;

  function planAt(scale: number, header: ImageHeader, request: PassRequest): Pick<Variant, 'plan' | 'tiling'> {
    const { model, viewFor } = request;
    const { fit, size, tiles } = request.input;
    const preset = model.manifest.input;
    const side = size ?? preset.size;
    const resize = Math.round((side * preset.resize) / preset.size);
    const planFor = (factor: number): InputPlan =>
      planInput(header, { fit, size: side, resize, scale: factor, step: limits.inputStep ?? 1 });
    const plan = planFor(scale);
    const view = viewFor(plan.crop);
    view.check(plan.crop);
    const tiling = tiles ? tilingOf(plan, view) : undefined;
    const explain = (limit: number): ParameterError => {
      const pixelsAt = (factor: number): number => inputPixels(planFor(factor));
      const [parameter, asked, steps] = fit !== 'native' && scale === 1 ? ['size', side, side] : ['scale', scale, 100];
      const largest = largestScale(scale, limit, steps, pixelsAt) * (parameter === 'size' ? side : 1);
      return { parameter, detail: `${parameter}=${asked} is too large for this image; at most ${largest}` };
    };
    if (tiling === undefined) checkPixels(plan, view, explain);
    checkMap(plan, view, request, tiling);
    return { plan, tiling };
  }

  /** Tiles of an input that is too large for one run; undefined where none are needed, or none can be had. */
  function tilingOf(plan: InputPlan, view: View): Tiling | undefined {
    const limit = Math.floor(limits.maxInputPixels / view.pixelCost);
    const pixels = inputPixels(plan);
    if (pixels <= limit || pixels > limits.maxPixels || !isDense(view) || view.tileAlignment === undefined)
      return undefined;
    const mapSize = (input: Size): Size => view.mapSize(input);
    const tiling = planTiles(plan.crop, { ...view.geometry, mapSize, alignment: view.tileAlignment }, limit);
    return tiling !== undefined && tiling.tiles.length <= MAX_TILES ? tiling : undefined;
  }

  /** The limit holds for the coarsest view; a finer one, which takes as much longer, has a lower one. */
  function checkPixels(plan: InputPlan, { pixelCost }: View, explain: (limit: number) => ParameterError): void {
    const limit = Math.floor(limits.maxInputPixels / pixelCost);
    if (inputPixels(plan) <= limit) return;
    const { width, height } = plan.crop;
    const [why, orElse] =
      pixelCost === 1
        ? ['', '']
        : [` at ${pixelCost.toFixed(1)} times the cost a pixel`, ', or a coarser outputStride'];
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `The network's input would be ${width}×${height} pixels; the limit is ${limit} pixels${why}. Ask for a smaller size or scale${orElse}.`,
      { errors: [explain(limit)] },
    );
  }

  /** A run makes the map of every class, and gives those asked for; of tiles these are put together. */
  function checkMap(
    { crop }: InputPlan,
    view: View,
    { model, classes = [] }: PassRequest,
    tiling: Tiling | undefined,
  ): void {
    if (!isDense(view)) return;
    const { width, height } = view.mapSize(crop);
    const channels = tiling === undefined ? Math.max(model.labels.length, classes.length) : classes.length;
    if (width * height * channels <= MAX_MAP_VALUES) return;
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `The class map would be ${width}×${height} cells of ${channels} classes; the limit is ${MAX_MAP_VALUES} values. Ask for a coarser outputStride, a smaller size or scale, or fewer classes.`,
      { errors: [{ parameter: 'outputStride', detail: `gives ${width * height * channels} values` }] },
    );
  }

  /** Do something with a view's session; opening it may take seconds, and the request may not live that long. */
  async function withSession<T>(
    model: CompiledModel,
    view: View,
    context: RequestContext,
    work: (session: string) => Promise<T>,
  ): Promise<T> {
    const { opened, release } = lease(model, view);
    try {
      const session = await waitWithin(context, opened).catch((error: unknown) => {
        if (!(error instanceof WorkerLostError)) throw error;
        throw new ServiceError('WORKER_LOST', 'A worker was lost while it opened the model.', { cause: error });
      });
      return await work(session);
    } finally {
      release();
    }
  }

  function runVariant(
    image: ImageInput,
    header: ImageHeader,
    variant: Variant,
    request: PassRequest,
    context: RequestContext,
  ): Promise<Pass> {
    const view = request.viewFor(variant.plan.crop);
    return withSession(request.model, view, context, async (session) => {
      const decoded = await decode(image, header, variant, request, context);
      const run = (pixels: Uint8Array, size: Size, { deadline, signal }: RequestContext): Promise<Ran> => {
        const feeds = feedsOf(pixels, size, request.classes);
        const cost = view.multiplyAdds(size);
        return batcher.submit({ session, feeds, cost, priority: context.priority, deadline, signal });
      };
      const { plan, tiling, mirrored } = variant;
      const ran =
        tiling === undefined
          ? await run(decoded.pixels, plan.crop, context)
          : await runTiles(tiling, context, (tile, shared) =>
              run(cutTile(decoded.pixels, plan.crop, tile), tile.pixels, shared),
            );
      const queueMs = decoded.waitedMs + ran.queueMs;
      observe('queue', request.model.manifest.name, queueMs);
      const { outputs, inferMs, batchSize } = ran;
      return { plan, mirrored, outputs, timing: { decodeMs: decoded.decodeMs, queueMs, inferMs, batchSize } };
    });
  }

  /** The pixels of a variant, uint8 `[h, w, 3]`, when a decoder is free. */
  async function decode(
    image: ImageInput,
    header: ImageHeader,
    { plan, mirrored }: Variant,
    { model }: PassRequest,
    context: RequestContext,
  ): Promise<{ pixels: Uint8Array; waitedMs: number; decodeMs: number }> {
    const { name, input } = model.manifest;
    const arrived = performance.now();
    const decoded = await decoderSlots(async () => {
      checkAlive(context);
      const started = performance.now();
      const pixels = await decodeInput(image.bytes, header, plan, { interpolation: input.interpolation, background });
      return {
        pixels: mirrored ? mirror(pixels, plan.crop.width) : pixels,
        waitedMs: started - arrived,
        decodeMs: performance.now() - started,
      };
    });
    observe('decode', name, decoded.decodeMs);
    return decoded;
  }

  return {
    get admitted() {
      return admitted;
    },

    admit(count) {
      if (count > limits.maxQueue) {
        throw new ServiceError('INVALID_REQUEST', `${count} passes (images × scales × mirrors) in one request.`, {
          errors: [{ parameter: 'scale', detail: `at most ${limits.maxQueue} passes fit into the server` }],
        });
      }
      if (admitted + count > limits.maxQueue) {
        throw new ServiceError('QUEUE_FULL', `The server is at its limit of ${limits.maxQueue} images.`, {
          retryAfterS: Math.max(1, Math.ceil(batcher.expectedWaitMs() / 1000)),
        });
      }
      admitted += count;
      return () => {
        admitted -= count;
      };
    },

    header: (image) => readImageHeader(image.bytes, limits),

    variants: (header, request) =>
      request.input.scales.flatMap((scale) => {
        const planned = planAt(scale, header, request);
        return mirrorings(request.input).map((mirrored) => ({ ...planned, mirrored }));
      }),

    run: (image, header, variants, request, context) =>
      allTogether(
        context,
        variants.map((variant) => (shared) => runVariant(image, header, variant, request, shared)),
      ),

    render: (model, context, work) =>
      rendererSlots(async () => {
        checkAlive(context);
        const started = performance.now();
        const drawn = await work(() => checkAlive(context));
        observe('render', model.manifest.name, performance.now() - started);
        return drawn;
      }),
  };
}

/** What a session takes for one image: its pixels, and for a dense view the classes. */
function feedsOf(pixels: Uint8Array, { width, height }: Size, classes: readonly number[] | undefined): TensorMap {
  const image: Tensor = { type: 'uint8', dims: [height, width, 3], data: pixels };
  if (classes === undefined) return { image };
  return { image, classes: { type: 'int64', dims: [classes.length], data: BigInt64Array.from(classes, BigInt) } };
}

/** Run the tiles, a few at a time: a pass that is cut into many must not fill the queue. */
async function runTiles(
  tiling: Tiling,
  context: RequestContext,
  run: (tile: Tile, context: RequestContext) => Promise<Ran>,
): Promise<Ran> {
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

function isDense(view: View): view is DenseView {
  return 'mapSize' in view;
}

/** The largest multiple of 1/steps whose input has at most `limit` pixels, where that of `scale` has more. */
function largestScale(scale: number, limit: number, steps: number, pixelsAt: (scale: number) => number): number {
  // Sides are whole pixels, so that the estimate is a little off; from above it, down to the first that fits.
  let count = Math.ceil(1.02 * steps * scale * Math.sqrt(limit / pixelsAt(scale)));
  while (count > 0 && pixelsAt(count / steps) > limit) count -= 1;
  return count / steps;
}

/** Whether a pass mirrors its input: once without, and with `flip` once with. */
export function mirrorings({ flip }: InputOptions): boolean[] {
  return flip ? [false, true] : [false];
}

/** The image mirrored left to right, a new buffer. `[h, w, 3]` */
function mirror(pixels: Uint8Array, width: number): Uint8Array {
  const mirrored = new Uint8Array(pixels.length);
  const stride = width * 3;
  for (let row = 0; row < pixels.length; row += stride) {
    for (let x = 0; x < stride; x += 3) {
      const from = row + x;
      const to = row + stride - 3 - x;
      mirrored[to] = pixels[from]!;
      mirrored[to + 1] = pixels[from + 1]!;
      mirrored[to + 2] = pixels[from + 2]!;
    }
  }
  return mirrored;
}

/** The timing of several passes: the sum of what was done for them, the longest wait, the largest batch. */
export function sumTimings(timings: readonly Timing[]): Timing {
  const sum = (pick: (timing: Timing) => number): number => timings.reduce((total, timing) => total + pick(timing), 0);
  return {
    decodeMs: sum((timing) => timing.decodeMs),
    queueMs: Math.max(0, ...timings.map((timing) => timing.queueMs)),
    inferMs: sum((timing) => timing.inferMs),
    batchSize: Math.max(0, ...timings.map((timing) => timing.batchSize)),
  };
}
