/**
 * One image through the network, step by step:
 *
 *   header    what the encoded photo says of itself           images/image-header.ts
 *   plan      the passes, held against every limit            plan.ts
 *   ───────   behind it: bytes and a plan in, plain data out  carry-out.ts
 *   pixels    each pass's input, decoded                      pixels.ts
 *   run       through its session, in some batch              run-pass.ts
 *   read      what left the session                           the question
 *   combine   all passes as one answer                        the question
 *
 * The questions are classify.ts, heatmap.ts and segment.ts. Limits are checked before a pixel is allocated; a request that
 * is dead already costs neither decoding nor a run.
 *
 * A photo that is drawn over is decoded again, at the picture's size (drawing/draw.ts). The two decodes have the same
 * pixels only with `fit=native` at scale 1 and a picture of the photo's size; there the run takes many times what the
 * decode takes. Anywhere else the network's input is shrunk while it is decoded, with another kernel.
 */
import pLimit from 'p-limit';
import type { Batcher } from '../batching/batcher.js';
import { ServiceError } from '../errors.js';
import type { Background } from '../images/decode.js';
import type { DecodeLimits } from '../images/decode-cost.js';
import { readImageHeader } from '../images/image-header.js';
import type { CompiledModel } from '../models/compile.js';
import type { View } from '../models/dense-views.js';
import type { SessionLease } from '../models/loaded-model.js';
import { WorkerLostError } from '../runtime/pool.js';
import { createAdmission, type Admission } from './admission.js';
import { createCarryOut, type Done, type Reader, type SessionHolder } from './carry-out.js';
import { planImage, type PassRequest, type PlanLimits } from './plan.js';
import { checkAlive, waitWithin, type RequestContext } from './request-context.js';
import type { PhaseObserver } from './timing.js';

export type { PhaseObserver } from './timing.js';

/** An image as it came in: its name (or its position) for the answer, its encoded bytes. */
export interface ImageInput {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What is asked of an image: how it goes in, and what is made of what comes out. */
export interface Question<Reading, Answer> extends PassRequest, Reader<Reading, Answer> {}

export interface InferenceLimits extends PlanLimits, DecodeLimits {
  /** Images decoded at the same time. */
  readonly decoders: number;
  /** Pictures drawn at the same time. */
  readonly renderers: number;
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
  /** Draw, when a renderer is free; `work` is told how to check that somebody still waits. */
  render<T>(model: CompiledModel, context: RequestContext, work: (checkpoint: () => void) => Promise<T>): Promise<T>;
  /** Places in the server, one for each pass of a request. */
  readonly admission: Admission;
}

export interface InferenceParts {
  readonly batcher: Batcher;
  /** Hold the session of a model's view. */
  readonly lease: (model: CompiledModel, view: Pick<View, 'session'>) => SessionLease;
  readonly limits: InferenceLimits;
  readonly background: Background;
  readonly observe: PhaseObserver;
}

export function createInference({ batcher, lease, limits, background, observe }: InferenceParts): Inference {
  const carryOut = createCarryOut({ batcher, decoders: limits.decoders, background, observe });
  const rendererSlots = pLimit(limits.renderers);

  /** The sessions of a model; opening one may take seconds, and the request may not live that long. */
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
    admission: createAdmission({ maxQueue: limits.maxQueue, expectedWaitMs: () => batcher.expectedWaitMs() }),

    async answer({ bytes }, question, context) {
      const header = await readImageHeader(bytes, limits);
      const plan = planImage(header, question, limits);
      return carryOut({ bytes, plan, reader: question, withSession: sessionsOf(question.model) }, context);
    },

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

function asServiceError(error: unknown): never {
  if (!(error instanceof WorkerLostError)) throw error;
  throw new ServiceError('WORKER_LOST', 'A worker was lost while it opened the model.', { cause: error });
}
