/**
 * The images of one request, side by side: their places in the server, and what becomes of the request when some of them
 * cannot be answered.
 */
import { toServiceError, type ServiceError } from '../errors.js';
import type { ImageInput, Inference } from './infer.js';
import { allTogether, type RequestContext } from './request-context.js';
import { mirrorings, type InputOptions } from './variants.js';

/** Passes that one image needs. */
export function passesPerImage(input: InputOptions): number {
  return input.scales.length * mirrorings(input).length;
}

export interface FailedImage {
  readonly name: string;
  readonly problem: ServiceError;
}

/**
 * Answer each image of a request. Among many, an image that fails fails alone; what is not the image's fault and may
 * pass (queue full, deadline, worker lost) fails the request. Takes the images' places in the server, and gives them
 * back when nothing of the request runs any more.
 */
export async function answerEach<T>(
  inference: Inference,
  images: readonly ImageInput[],
  input: InputOptions,
  context: RequestContext,
  answer: (image: ImageInput, context: RequestContext) => Promise<T>,
): Promise<(T | FailedImage)[]> {
  const release = inference.admit(images.length * passesPerImage(input));
  try {
    return await allTogether<T | FailedImage>(
      context,
      images.map((image) => async (shared) => {
        try {
          return await answer(image, shared);
        } catch (error) {
          if (images.length === 1 || shared.signal.aborted) throw error;
          const problem = toServiceError(error);
          if (problem.retryable) throw error;
          return { name: image.name, problem };
        }
      }),
    );
  } finally {
    release();
  }
}
