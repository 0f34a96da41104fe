/**
 * Answers the images of one request side by side. Holds their places in the server, and decides what becomes of the
 * request if some of them cannot be answered.
 */
import { toServiceError, type ServiceError } from '../errors.js';
import { createBill } from './bill.js';
import type { Done } from './carry-out.js';
import type { ImageInput, Inference, Question } from './infer.js';
import { createMapAccount, MAX_VALUES, type ValueLimit } from './map-account.js';
import { passesPerImage } from './plan.js';
import { allTogether, type RequestContext } from './request-context.js';
import { longest, type Longest } from './timing.js';

export interface FailedImage {
  readonly name: string;
  readonly problem: ServiceError;
}

export interface AnsweredImage<Answer> extends Done<Answer> {
  readonly name: string;
}

/** A question as a part of a request asks it: the context says when nobody waits for the answer any more. */
export type Asking<Reading, Answer> = (context: RequestContext) => Question<Reading, Answer>;

/**
 * Ask the question of each image of a request. If a request has several images, a bad image fails alone. A failure that
 * a retry may cure (queue full, deadline, worker lost) fails the request, and so do maps that are too large together.
 * Takes the images' places in the server, and gives them back when nothing of the request runs any more. The context's budget
 * pays for all images at once, before one of them runs.
 */
export async function answerEach<Reading, Answer>(
  inference: Inference,
  images: readonly ImageInput[],
  asking: Asking<Reading, Answer>,
  context: RequestContext,
  limit: ValueLimit = MAX_VALUES,
): Promise<(AnsweredImage<Answer> | FailedImage)[]> {
  const account = createMapAccount(images.length, limit);
  const question = asking(context);
  const { notes } = context;
  if (notes !== undefined) {
    notes.model = question.model.manifest.name;
    notes.images = images.length;
  }
  const release = inference.admission.admit(images.length * passesPerImage(question.input));
  const shares = context.budget && createBill(images.length, context.budget);
  const began = performance.now();
  let timing: Longest | undefined;
  try {
    const answers = await allTogether<AnsweredImage<Answer> | FailedImage>(
      context,
      images.map((image, position) => async (shared) => {
        const { name } = image;
        const share = shares?.[position];
        try {
          return { name, ...(await inference.answer(image, { ...asking(shared), account, share }, shared)) };
        } catch (error) {
          const problem = toServiceError(error);
          if (images.length === 1 || shared.signal.aborted || account.isExceeded || problem.retryable) {
            share?.fail(problem);
            throw error;
          }
          return { name, problem };
        } finally {
          share?.leave();
        }
      }),
    );
    timing = longest(answers.flatMap((answer) => ('timing' in answer ? [answer.timing] : [])));
    return answers;
  } finally {
    const { name, version } = question.model.manifest;
    const asked = question.maps === undefined ? 'scores' : 'maps';
    inference.statistics.observeRequest({ model: name, version, asked, ms: performance.now() - began, timing });
    release();
  }
}
