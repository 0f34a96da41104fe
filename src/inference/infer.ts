/**
 * One image through the network, step by step:
 *
 *   header    what the encoded photo says of itself           images/image-header.ts
 *   plan      the passes, held against every limit            plan.ts
 *   ───────   behind it: bytes and a plan in, plain data out  carry-out.ts
 *   run       decoded and through its session, in some batch  run-pass.ts; engine-process/run-batch.ts
 *   read      what left the session                           the question
 *   combine   all passes as one answer                        the question
 *
 * The questions are classify.ts, heatmap.ts and segment.ts. Limits are checked before a pixel is allocated. Images are
 * decoded in the process that runs them, when it runs them: no pixels wait, and none of this process's memory holds any. A
 * request that is dead before that costs neither decoding nor a run.
 *
 * A photo that is drawn over is decoded again, at the picture's size (drawing/draw.ts). Both decodes give the same
 * pixels only with `fit=native` at scale 1 and a picture of the photo's size; the run then takes many times as long as
 * the decode. In all other cases the network's input is shrunk while it is decoded, with another kernel.
 */
import type { Batcher } from '../batching/batcher.js';
import { ServiceError, WorkerLostError } from '../errors.js';
import type { Background } from '../images/decode.js';
import type { DecodeLimits } from '../images/decode-cost.js';
import { headerOfPixels, readImageHeader } from '../images/image-header.js';
import type { PixelSize } from '../maps/input-plan.js';
import type { CompiledModel } from '../models/compile.js';
import type { View } from '../models/dense-views.js';
import type { SessionLease } from '../models/loaded-model.js';
import { inSlice } from '../turns.js';
import { createAdmission, type Admission } from './admission.js';
import { createCarryOut, type Done, type Reader, type SessionHolder } from './carry-out.js';
import { multiplyAddsOf, planImage, type PassRequest, type PlanLimits } from './plan.js';
import { checkAlive, waitWithin, type RequestContext } from './request-context.js';
import { createStatistics, type Statistics } from './statistics.js';
import type { PhaseObserver } from './timing.js';
import type { Work, WorkOutput } from './work.js';

export type { PhaseObserver } from './timing.js';

/** An image as it came in: its name (or its position) for the answer, its encoded bytes. */
export interface ImageInput {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Present if the bytes are no file, but 8-bit sRGB pixels `[height, width, 3]` of this size. */
  readonly pixels?: PixelSize;
}

/** What to ask about an image: how it enters the network, and how the outputs become an answer. */
export interface Question<Reading, Answer> extends PassRequest, Reader<Reading, Answer> {}

export interface InferenceLimits extends PlanLimits, DecodeLimits {
  /** Passes (images × scales × mirrors) in the server at once. */
  readonly maxQueue: number;
}

export interface Inference {
  /**
   * Answer a question about an image, without taking a place in the server. Throws ServiceError: the image is refused
   * (UNSUPPORTED_MEDIA_TYPE, IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, OUTPUT_UNSUPPORTED), or there was no answer in time
   * (deadline, queue full, worker lost).
   */
  answer<Reading, Answer>(
    image: ImageInput,
    question: Question<Reading, Answer>,
    context: RequestContext,
  ): Promise<Done<Answer>>;
  /** Places in the server, one for each pass of a request. */
  readonly admission: Admission;
  /** Of what was asked. */
  readonly statistics: Statistics;
}

export interface InferenceParts {
  readonly batcher: Batcher<Work, WorkOutput>;
  /** Hold the session of a model's view. */
  readonly lease: (model: CompiledModel, view: Pick<View, 'session'>) => SessionLease;
  readonly limits: InferenceLimits;
  readonly background: Background;
  readonly observe: PhaseObserver;
  /** Default: new ones. */
  readonly statistics?: Statistics;
}

export function createInference({
  batcher,
  lease,
  limits,
  background,
  observe,
  statistics = createStatistics(),
}: InferenceParts): Inference {
  const carryOut = createCarryOut({ batcher, background, observe });

  /** The sessions of a model. Opening one may take seconds, longer than the request may live. */
  const sessionsOf =
    (model: CompiledModel): SessionHolder =>
    async (pass, context, work) => {
      const { opened, release } = lease(model, pass);
      try {
        return await work(await waitWithin(context, opened).catch(asServiceError));
      } finally {
        release();
      }
    };

  return {
    statistics,
    admission: createAdmission({ maxQueue: limits.maxQueue, expectedWaitMs: (asker) => batcher.expectedWaitMs(asker) }),

    async answer({ bytes, pixels }, question, context) {
      const check = (): void => checkAlive(context);
      const header =
        pixels === undefined
          ? await inSlice(() => readImageHeader(bytes, limits), check)
          : headerOfPixels(pixels, limits);
      // Milliseconds where the size is new to the model, for each image of the request.
      const plan = await inSlice(() => planImage(header, question, limits), check);
      await question.share?.pay(multiplyAddsOf(plan.passes));
      return carryOut({ bytes, plan, reader: question, withSession: sessionsOf(question.model) }, context);
    },
  };
}

function asServiceError(error: unknown): never {
  if (!(error instanceof WorkerLostError)) throw error;
  throw new ServiceError('WORKER_LOST', 'A worker was lost while it opened the model.', { cause: error });
}
