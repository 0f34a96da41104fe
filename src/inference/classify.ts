/**
 * Top-k classes. Each image at each scale is one result; with `flip` the mirrored image is run too and the two answers
 * are averaged (Simonyan 2015 §3.2).
 */
import type { InputPlan } from '../maps/input-plan.js';
import { meanScores, topK, type ScoreKind } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { expectTensor } from '../tensor.js';
import { answerEach, type FailedImage } from './answer-each.js';
import type { ImageInput, Inference, Question } from './infer.js';
import { mirrorings, type ImagePlan, type InputOptions } from './plan.js';
import type { RequestContext } from './request-context.js';
import { sumTimings, type Timing } from './timing.js';

export interface ClassifyOptions extends InputOptions {
  readonly topK: number;
  readonly scores: ScoreKind;
}

export interface Prediction {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** A probability in [0, 1] (softmax over classes), or a logit, as asked for. */
  readonly score: number;
}

export interface Classification {
  readonly name: string;
  /** The upright photo, in pixels. */
  readonly width: number;
  readonly height: number;
  /** The network's input, in pixels, and the scale asked for. */
  readonly input: { readonly width: number; readonly height: number; readonly scale: number };
  readonly predictions: readonly Prediction[];
}

export interface ClassifyAnswer {
  /** One for each image and scale, in the order given; only one for an image that failed. */
  readonly results: readonly (Classification | FailedImage)[];
  readonly timing: Timing;
}

/** Classify the images. Throws the ServiceError of the only image, or of the request. */
export async function classify(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: ClassifyOptions,
  context: RequestContext,
): Promise<ClassifyAnswer> {
  const answers = await answerEach(inference, images, classifyQuestion(model, options), context);
  return {
    results: answers.flatMap((answer): (Classification | FailedImage)[] =>
      'problem' in answer ? [answer] : answer.answer.map((scale) => ({ name: answer.name, ...scale })),
    ),
    timing: sumTimings(answers.flatMap((answer) => ('timing' in answer ? [answer.timing] : []))),
  };
}

/** Reads the logits `[K]` of each pass, and combines them into the image's best classes at each scale. */
function classifyQuestion(
  model: CompiledModel,
  options: ClassifyOptions,
): Question<Float32Array, Omit<Classification, 'name'>[]> {
  return {
    model,
    viewFor: (input) => model.classifyView(input),
    input: options,
    read: (outputs) => expectTensor(outputs, 'logits', 'float32').data,
    combine: (logits, plan) =>
      options.scales.map((_, position) => {
        const mirrors = mirrorings(options).length;
        const first = position * mirrors;
        const ofScale = logits.slice(first, first + mirrors);
        return presentClasses(ofScale, plan.passes[first]!.input, plan, model.labels, options);
      }),
  };
}

function presentClasses(
  logits: readonly Float32Array[],
  { crop, scale }: InputPlan,
  { header: { width, height } }: ImagePlan,
  labels: CompiledModel['labels'],
  { topK: k, scores: kind }: ClassifyOptions,
): Omit<Classification, 'name'> {
  return {
    width,
    height,
    input: { width: crop.width, height: crop.height, scale },
    predictions: topK(meanScores(logits, kind), k).map(({ index, value }) => ({
      index,
      ...labels[index]!,
      score: value,
    })),
  };
}
