/** The scores of every class, for callers that rank them themselves. With `flip` the mirrored image is run too, and averaged. */
import { meanScores, type ScoreKind } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { expectTensor } from '../tensor.js';
import { inTurns } from '../turns.js';
import { answerEach, type AnsweredImage, type FailedImage } from './answer-each.js';
import type { ImageInput, Inference } from './infer.js';
import type { InputOptions } from './plan.js';
import { checkAlive, type RequestContext } from './request-context.js';

export interface ScoresOptions extends InputOptions {
  /** One: an image has one row of scores. */
  readonly scales: readonly [number];
  readonly scores: ScoreKind;
}

/** For each image its scores, `[K]`, or why it failed. Throws the ServiceError of the only image, or of the request. */
export function scoreImages(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: ScoresOptions,
  context: RequestContext,
): Promise<(AnsweredImage<Float32Array> | FailedImage)[]> {
  return answerEach<Float32Array, Float32Array>(
    inference,
    images,
    (shared) => ({
      model,
      viewFor: (input) => model.classifyView(input),
      input: options,
      read: (outputs) => expectTensor(outputs, 'logits', 'float32').data,
      combine: (logits) => inTurns(meanScores(logits, options.scores, model.conversion), () => checkAlive(shared)),
    }),
    context,
  );
}
