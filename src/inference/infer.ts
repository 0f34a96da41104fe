/**
 * One image through the network once: header → plan → pixels → batch. What classify and heatmap share. Limits are
 * checked on the header, before a pixel is allocated; a request that is dead already costs neither decoding nor a run.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import { ServiceError } from '../errors.js';
import type { CompiledModel, View } from '../models/compile.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { Batcher } from './batcher.js';
import { decodeInput, type Background } from './decode.js';
import { readImageHeader, type ImageHeader } from './image-header.js';
import { inputPixels, planInput, type Fit, type InputPlan } from './input-plan.js';

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
  readonly flip: boolean;
}

/** Who waits for the answer, and until when. */
export interface RequestContext {
  /** Higher goes first. */
  readonly priority: number;
  /** Absolute, in milliseconds of `performance.now()`. */
  readonly deadline: number;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface InferenceLimits {
  /** Pixels of one photo. */
  readonly maxPixels: number;
  /** Pixels of one network input. */
  readonly maxInputPixels: number;
  /** Images decoded at the same time. */
  readonly decoders: number;
  /** Images in the server at once. */
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
  readonly queueMs: number;
  readonly inferMs: number;
  readonly batchSize: number;
}

export interface PassRequest {
  readonly model: CompiledModel;
  readonly view: 'classify' | 'dense';
  readonly fit: Fit;
  readonly size: number | undefined;
  readonly scale: number;
  readonly mirrored: boolean;
  /** For `dense`: class selectors, see classes.ts. */
  readonly classes?: readonly number[];
}

export interface Inference {
  /** Check an image's header. Throws UNSUPPORTED_MEDIA_TYPE, IMAGE_UNDECODABLE or IMAGE_TOO_LARGE. */
  header(image: ImageInput): Promise<ImageHeader>;
  /** Decode and run. Throws ServiceError: limits, deadline, queue full, worker lost. */
  run(image: ImageInput, header: ImageHeader, request: PassRequest, context: RequestContext): Promise<Pass>;
  /** Take `count` places in the server, for one request's images, or throw QUEUE_FULL. The caller gives them back. */
  admit(count: number): () => void;
  /** Images now in the server. */
  readonly admitted: number;
}

export interface InferenceParts {
  readonly batcher: Batcher;
  /** The id of a model's open session for a view. */
  readonly openSession: (model: CompiledModel, view: View) => Promise<string>;
  readonly limits: InferenceLimits;
  readonly background: Background;
  readonly observe: PhaseObserver;
}

export function createInference({ batcher, openSession, limits, background, observe }: InferenceParts): Inference {
  const decodeSlots: LimitFunction = pLimit(limits.decoders);
  let admitted = 0;

  function plan(header: ImageHeader, { model, view, fit, size, scale }: PassRequest): InputPlan {
    const preset = model.manifest.input;
    const side = size ?? preset.size;
    const resize = Math.round((side * preset.resize) / preset.size);
    const result = planInput(header, { fit, size: side, resize, scale });
    const { width, height } = result.crop;
    if (inputPixels(result) > limits.maxInputPixels) {
      throw new ServiceError(
        'IMAGE_TOO_LARGE',
        `The network's input would be ${width}×${height} pixels; the limit is ${limits.maxInputPixels} pixels. Ask for a smaller size or scale.`,
      );
    }
    const needsMap = view === 'dense' || model.classifyView(result.crop) === 'score';
    if (needsMap && Math.min(width, height) < model.minimumSize) {
      throw new ServiceError(
        'OUTPUT_UNSUPPORTED',
        `An input of ${width}×${height} pixels is smaller than one window of ${model.manifest.name}; the smallest side is ${model.minimumSize} pixels.`,
        { errors: [{ parameter: 'size', detail: `must give at least ${model.minimumSize} pixels` }] },
      );
    }
    return result;
  }

  return {
    get admitted() {
      return admitted;
    },

    admit(count) {
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

    async run(image, header, request, context) {
      const { model, view } = request;
      const inputPlan = plan(header, request);
      const { width, height } = inputPlan.crop;
      const session = await openSession(model, view === 'dense' ? 'dense' : model.classifyView(inputPlan.crop));

      const decoded = await decodeSlots(async () => {
        checkAlive(context);
        const start = performance.now();
        const { interpolation } = model.manifest.input;
        const pixels = await decodeInput(image.bytes, header, inputPlan, { interpolation, background });
        return { pixels: request.mirrored ? mirror(pixels, width) : pixels, ms: performance.now() - start };
      });
      observe('decode', model.manifest.name, decoded.ms);

      const feeds: Record<string, Tensor> = {
        image: { type: 'uint8', dims: [height, width, 3], data: decoded.pixels },
      };
      if (request.classes !== undefined) {
        feeds['classes'] = {
          type: 'int64',
          dims: [request.classes.length],
          data: BigInt64Array.from(request.classes, BigInt),
        };
      }
      const { outputs, queueMs, inferMs, batchSize } = await batcher.submit({
        session,
        feeds,
        cost: model.multiplyAdds(inputPlan.crop),
        priority: context.priority,
        deadline: context.deadline,
        signal: context.signal,
      });
      observe('queue', model.manifest.name, queueMs);
      return {
        plan: inputPlan,
        mirrored: request.mirrored,
        outputs,
        timing: { decodeMs: decoded.ms, queueMs, inferMs, batchSize },
      };
    },
  };
}

/** Throws DEADLINE_EXCEEDED after the deadline, and the abort reason when the client is gone. */
export function checkAlive({ deadline, signal }: RequestContext): void {
  signal.throwIfAborted();
  if (performance.now() >= deadline) throw new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed in the queue.');
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

/** The timing of several passes: the sum of what was done for them, the largest batch. */
export function sumTimings(timings: readonly Timing[]): Timing {
  const sum = (pick: (timing: Timing) => number): number => timings.reduce((total, timing) => total + pick(timing), 0);
  return {
    decodeMs: sum((timing) => timing.decodeMs),
    queueMs: Math.max(0, ...timings.map((timing) => timing.queueMs)),
    inferMs: sum((timing) => timing.inferMs),
    batchSize: Math.max(0, ...timings.map((timing) => timing.batchSize)),
  };
}
