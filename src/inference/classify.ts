/**
 * Top-k classes. Each image at each scale is one result; with `flip` the mirrored image is run too and the two answers
 * are averaged (Simonyan 2015 §3.2). An image that fails among many fails alone.
 */
import { ServiceError, toServiceError } from '../errors.js';
import type { CompiledModel } from '../models/compile.js';
import { expectTensor } from '../tensor.js';
import {
  sumTimings,
  type ImageInput,
  type Inference,
  type InputOptions,
  type RequestContext,
  type Timing,
} from './infer.js';
import { softmax, topK } from './scores.js';

export type ScoreKind = 'probability' | 'logit';

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

export interface FailedImage {
  readonly name: string;
  readonly problem: ServiceError;
}

export interface ClassifyAnswer {
  /** One for each image and scale, in the order given. */
  readonly results: readonly (Classification | FailedImage)[];
  readonly timing: Timing;
}

/** Classify the images. Throws the only image's ServiceError, or the first one when every image fails alike. */
export async function classify(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: ClassifyOptions,
  context: RequestContext,
): Promise<ClassifyAnswer> {
  const release = inference.admit(images.length * options.scales.length);
  try {
    const answers = await Promise.all(
      images.flatMap((image) => {
        const header = inference.header(image);
        return options.scales.map((scale) =>
          header
            .then((imageHeader) => classifyAtScale(inference, model, image, imageHeader, scale, options, context))
            .catch((error: unknown) => {
              const failure = context.signal.aborted ? error : toServiceError(error);
              if (images.length === 1 || !(failure instanceof ServiceError) || concernsTheRequest(failure))
                throw failure;
              return { result: { name: image.name, problem: failure }, timings: [] };
            }),
        );
      }),
    );
    return {
      results: answers.map((answer) => answer.result),
      timing: sumTimings(answers.flatMap((answer) => answer.timings)),
    };
  } finally {
    release();
  }
}

/** A failure that the image is not to blame for: the whole request fails with it. */
function concernsTheRequest(error: ServiceError): boolean {
  return error.status >= 500;
}

async function classifyAtScale(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  header: Awaited<ReturnType<Inference['header']>>,
  scale: number,
  { fit, size, flip, topK: k, scores: kind }: ClassifyOptions,
  context: RequestContext,
): Promise<{ result: Classification; timings: Timing[] }> {
  const passes = await Promise.all(
    (flip ? [false, true] : [false]).map((mirrored) =>
      inference.run(image, header, { model, view: 'classify', fit, size, scale, mirrored }, context),
    ),
  );
  const scores = average(
    passes.map(({ outputs }) => {
      const logits = expectTensor(outputs, 'logits', 'float32').data;
      return kind === 'logit' ? logits : softmax(logits);
    }),
  );
  const { plan } = passes[0]!;
  return {
    result: {
      name: image.name,
      width: header.width,
      height: header.height,
      input: { width: plan.crop.width, height: plan.crop.height, scale },
      predictions: topK(scores, k).map(({ index, value }) => ({ index, ...model.labels[index]!, score: value })),
    },
    timings: passes.map((pass) => pass.timing),
  };
}

function average(vectors: readonly Float32Array[]): Float32Array {
  const [first] = vectors;
  if (first === undefined || vectors.length === 1) return first ?? new Float32Array();
  return first.map((_, index) => vectors.reduce((sum, vector) => sum + vector[index]!, 0) / vectors.length);
}
