/**
 * One image through the network: header → plans → pixels → batch. What classify and heatmap share. Limits are checked on
 * the header and on the plans of all of an image's passes (variants.ts), before a pixel is allocated; a request that is
 * dead already costs neither decoding nor a run.
 */
import pLimit from 'p-limit';
import { ServiceError } from '../errors.js';
import type { CompiledModel } from '../models/compile.js';
import type { View } from '../models/dense-views.js';
import type { Size } from '../models/input-size.js';
import type { SessionLease } from '../models/loaded-model.js';
import { WorkerLostError } from '../runtime/pool.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { Batcher } from '../batching/batcher.js';
import { decodeInput, type Background } from '../images/decode.js';
import { readImageHeader, type ImageHeader } from '../images/image-header.js';
import type { InputPlan } from '../maps/input-plan.js';
import { allTogether, checkAlive, waitWithin, type RequestContext } from './request-context.js';
import { cutTile, joinTiles, type Tile, type Tiling } from '../maps/tiles.js';
import { planVariants, type PassRequest, type Variant, type VariantLimits } from './variants.js';

const TILES_AT_ONCE = 2;

type Ran = Awaited<ReturnType<Batcher['submit']>>;

/** An image as it came in: its name (or its position) for the answer, its encoded bytes. */
export interface ImageInput {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface InferenceLimits extends VariantLimits {
  /** Images decoded at the same time. */
  readonly decoders: number;
  /** Pictures drawn at the same time. */
  readonly renderers: number;
  /** Passes (images × scales × mirrors) in the server at once. */
  readonly maxQueue: number;
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

    variants: (header, request) => planVariants(header, request, limits),

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
