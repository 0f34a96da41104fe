/**
 * Top-k classes. Each image at each scale is one result; with `flip` the mirrored image is run too and the two answers
 * are averaged (Simonyan 2015 §3.2).
 */
import type { CompiledModel } from '../models/compile.js';
import { answerEach, type FailedImage } from './answer-each.js';
import type { ImageHeader } from '../images/image-header.js';
import { sumTimings, type ImageInput, type Inference, type Pass, type Timing } from './infer.js';
import type { RequestContext } from './request-context.js';
import { meanScores, topK, type ScoreKind } from '../maps/scores.js';
import type { InputOptions, PassRequest } from './variants.js';

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
  /** The network's input, in pixels, and the scale it was asked for with. */
  readonly input: { readonly width: number; readonly height: number; readonly scale: number };
  readonly predictions: readonly Prediction[];
}

export interface ClassifyAnswer {
  /** One for each image and scale, in the order given; one for an image that failed among many. */
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
  const request: PassRequest = { model, viewFor: (input) => model.classifyView(input), input: options };
  const answers = await answerEach(inference, images, options, context, async (image, shared) => {
    const header = await inference.header(image);
    const variants = inference.variants(header, request);
    const passes = await inference.run(image, header, variants, request, shared);
    return { image, header, passes };
  });
  return {
    results: answers.flatMap((answer): (Classification | FailedImage)[] =>
      'problem' in answer
        ? [answer]
        : options.scales.map((_, position) => {
            const mirrors = answer.passes.length / options.scales.length;
            const ofScale = answer.passes.slice(position * mirrors, (position + 1) * mirrors);
            return presentClasses(answer.image, answer.header, ofScale, model, options);
          }),
    ),
    timing: sumTimings(
      answers.flatMap((answer) => ('passes' in answer ? answer.passes.map(({ timing }) => timing) : [])),
    ),
  };
}

function presentClasses(
  { name }: ImageInput,
  { width, height }: ImageHeader,
  passes: readonly Pass[],
  model: CompiledModel,
  { topK: k, scores: kind }: ClassifyOptions,
): Classification {
  const { crop, scale } = passes[0]!.plan;
  const scores = meanScores(
    passes.map(({ outputs }) => outputs),
    kind,
  );
  return {
    name,
    width,
    height,
    input: { width: crop.width, height: crop.height, scale },
    predictions: topK(scores, k).map(({ index, value }) => ({ index, ...model.labels[index]!, score: value })),
  };
}
