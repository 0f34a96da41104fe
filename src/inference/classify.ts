/**
 * Top-k classes. Each image at each scale is one result; with `flip` the mirrored image is run too and the two answers
 * are averaged (Simonyan 2015 §3.2).
 */
import type { InputPlan } from '../maps/input-plan.js';
import { meanScores, topK, type Scored, type ScoreKind } from '../maps/scores.js';
import { eachRange, type Steps } from '../maps/steps.js';
import type { CompiledModel } from '../models/compile.js';
import { expectTensor } from '../tensor.js';
import { inTurns } from '../turns.js';
import { answerEach, type FailedImage } from './answer-each.js';
import type { ImageInput, Inference, Question } from './infer.js';
import { mirrorings, type ImagePlan, type InputOptions } from './plan.js';
import { checkAlive, type RequestContext } from './request-context.js';
import { sumTimings, type Timing } from './timing.js';

export const DEFAULT_TOP_K = 5;

export interface ClassifyOptions extends InputOptions {
  /** Default: 5, or all if there are fewer. */
  readonly topK?: number | undefined;
  readonly scores: ScoreKind;
}

export interface Prediction {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** A probability in [0, 1], or a logit, as asked for. Of independent classes the probabilities do not sum to 1. */
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
  const asking = (context: RequestContext) => classifyQuestion(model, options, context);
  const answers = await answerEach(inference, images, asking, context);
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
  context: RequestContext,
): Question<Float32Array, Omit<Classification, 'name'>[]> {
  return {
    model,
    viewFor: (input) => model.classifyView(input),
    input: options,
    read: (outputs) => expectTensor(outputs, 'logits', 'float32').data,
    combine: (logits, plan) => inTurns(classifyScales(logits, plan, model, options), () => checkAlive(context)),
  };
}

function* classifyScales(
  logits: readonly Float32Array[],
  plan: ImagePlan,
  model: CompiledModel,
  options: ClassifyOptions,
): Steps<Omit<Classification, 'name'>[]> {
  const mirrors = mirrorings(options).length;
  const answers: Omit<Classification, 'name'>[] = [];
  for (let first = 0; first < logits.length; first += mirrors) {
    const ofScale = logits.slice(first, first + mirrors);
    answers.push(yield* presentClasses(ofScale, plan.passes[first]!.input, plan, model, options));
  }
  return answers;
}

function* presentClasses(
  logits: readonly Float32Array[],
  { crop, scale }: InputPlan,
  { header: { width, height } }: ImagePlan,
  { labels, conversion }: CompiledModel,
  { topK: k = DEFAULT_TOP_K, scores: kind }: ClassifyOptions,
): Steps<Omit<Classification, 'name'>> {
  const scores = yield* meanScores(logits, kind, conversion);
  const best = topK(scores, k);
  checkNumbers(scores, best);
  const predictions: Prediction[] = [];
  yield* eachRange(best.length, (from, end) => {
    for (const { index, value } of best.slice(from, end)) predictions.push({ index, ...labels[index]!, score: value });
  });
  return {
    width,
    height,
    input: { width: crop.width, height: crop.height, scale },
    predictions,
  };
}

/** JSON has no other numbers than finite ones, and NaN has no rank. Throws if the network gave such scores. */
function checkNumbers(scores: Float32Array, best: readonly Scored[]): void {
  if (scores.some(Number.isNaN) || best.some(({ value }) => !Number.isFinite(value))) {
    throw new Error('the scores of the classes have values that are no numbers');
  }
}
