/**
 * An inference of the protocol: its body as images, what is asked of them, and the answer as tensors. A bad image fails the
 * request, because the protocol has no answer for a part of it.
 */
import { bestClasses, resolveClasses } from '../../classes/classes.js';
import { ServiceError } from '../../errors.js';
import { heatmap, type ImageHeatmaps } from '../../inference/heatmap.js';
import type { FailedImage } from '../../inference/answer-each.js';
import type { ImageInput, Inference } from '../../inference/infer.js';
import type { RequestContext } from '../../inference/request-context.js';
import { scoreImages } from '../../inference/scores.js';
import type { ValueLimit } from '../../inference/map-account.js';
import { topK } from '../../maps/scores.js';
import type { Steps } from '../../maps/steps.js';
import { invertAffine } from '../../maps/place.js';
import type { CompiledModel } from '../../models/compile.js';
import { inTurns } from '../../turns.js';
import { MAX_PREDICTIONS } from '../routes/classify.js';
import { faultAt } from './faults.js';
import type { AskedOutput } from './infer-body.js';
import type { MapsParameters, ScoresParameters } from './infer-parameters.js';
import type { OutputTensor } from './output-tensors.js';

/** 85 MB of text. */
const MAX_JSON_VALUES: ValueLimit = { values: 2 ** 22, orElse: ', or for binary data' };

export interface Inferring<Parameters> {
  readonly inference: Inference;
  readonly model: CompiledModel;
  readonly images: readonly ImageInput[];
  readonly parameters: Parameters;
  readonly context: RequestContext;
}

/** `scores` FP32 `[N, K]`. Throws ServiceError; INVALID_REQUEST names the image that is bad. */
export async function inferScores({
  inference,
  model,
  images,
  parameters: { size, flip, scale, fit, scores },
  context,
}: Inferring<ScoresParameters>): Promise<OutputTensor[]> {
  const options = { size, flip, scales: [scale] as const, fit: fit ?? fitOf(images), scores };
  const answers = whole(await scoreImages(inference, model, images, options, context));
  const parts = answers.map(({ answer }) => answer);
  return [{ name: 'scores', datatype: 'FP32', shape: [images.length, model.labels.length], parts }];
}

/**
 * `map` FP32 `[N, C, h, w]`, the maps of C classes; `classes` INT64 `[N, C]`, their indices; `cells` FP32 `[N, 4]`: where the centre
 * of the first cell is in the image, x and y in pixels, and how far it is to the next one. `isJson`: the maps are to be text. Throws ServiceError; INVALID_REQUEST
 * also for images whose maps differ in size.
 */
export async function inferMaps({
  isJson,
  inference,
  model,
  images,
  parameters: { scale: scales, class: names, top = 0, fit, ...asked },
  context,
}: Inferring<MapsParameters> & { readonly isJson: boolean }): Promise<OutputTensor[]> {
  const { labels } = model;
  const named = names ?? (top === 0 ? ['top'] : []);
  const options = {
    ...asked,
    ...{ scales, fit: fit ?? fitOf(images) ?? 'whole' },
    classes: [...resolveClasses(named, labels), ...bestClasses(top, labels)],
    maxValues: isJson ? MAX_JSON_VALUES : undefined,
  };
  const { results } = await heatmap(inference, model, images, options, context);
  const answers = whole(results);
  const [{ height, width }] = answers.map(sizeOfMap) as [ReturnType<typeof sizeOfMap>];
  for (const [index, answer] of answers.entries()) {
    const other = sizeOfMap(answer);
    if (other.height === height && other.width === width) continue;
    const detail = `has a map of ${other.height}×${other.width} cells, and the first image one of ${height}×${width}`;
    throw faultAt(`image ${index}`, `${detail}: an answer has maps of one size`);
  }
  const count = options.classes.length;
  const maps = answers.flatMap(({ classes }) => classes.map(({ map }) => map.values));
  const indices = answers.map(({ classes }) => BigInt64Array.from(classes, ({ index }) => BigInt(index)));
  return [
    { name: 'map', datatype: 'FP32', shape: [images.length, count, height, width], parts: maps },
    { name: 'classes', datatype: 'INT64', shape: [images.length, count], parts: indices },
    { name: 'cells', datatype: 'FP32', shape: [images.length, 4], parts: answers.map(cellsOf) },
  ];
}

function sizeOfMap({ classes }: ImageHeatmaps) {
  return classes[0]!.map;
}

function cellsOf({ placement }: ImageHeatmaps): Float32Array {
  const { offsetX, offsetY, scaleX, scaleY } = invertAffine(placement);
  return Float32Array.of(offsetX, offsetY, scaleX, scaleY);
}

/** Pixels are the input as they are. */
function fitOf(images: readonly ImageInput[]): 'native' | undefined {
  return images.every(({ pixels }) => pixels !== undefined) ? 'native' : undefined;
}

function whole<Answer extends object>(answers: readonly (Answer | FailedImage)[]): Answer[] {
  const bad = answers.findIndex((answer) => 'problem' in answer);
  if (bad < 0) return answers as Answer[];
  const { problem } = answers[bad] as FailedImage;
  throw new ServiceError(problem.code, `Image ${bad}: ${problem.message}`, {
    cause: problem,
    errors: problem.errors,
    limit: problem.limit,
  });
}

/**
 * The k best classes of each image in the place of its scores: BYTES `[N, k]` of `score:index:label`.
 * Source: Triton, "Classification Extension".
 */
function* classified(
  scores: OutputTensor & { readonly datatype: 'FP32' },
  k: number,
  { labels }: CompiledModel,
): Steps<OutputTensor> {
  const parts: string[][] = [];
  for (const row of scores.parts) {
    parts.push(topK(row, k).map(({ index, value }) => `${value.toFixed(6)}:${index}:${labels[index]!.label}`));
    yield;
  }
  const [images = 0, classes = 0] = scores.shape;
  return { name: scores.name, datatype: 'BYTES', shape: [images, Math.min(k, classes)], parts };
}

/** The outputs that are asked for, in that order; all if none is named. Throws INVALID_REQUEST for others. */
export async function chosen(
  outputs: readonly OutputTensor[],
  asked: readonly AskedOutput[] = outputs.map(({ name }) => ({ name, binary: undefined, classification: undefined })),
  model: CompiledModel,
): Promise<{ readonly tensor: OutputTensor; readonly binary: boolean | undefined }[]> {
  return Promise.all(
    asked.map(async ({ name, binary, classification }) => {
      const tensor = outputs.find((output) => output.name === name)!;
      if (classification === undefined) return { tensor, binary };
      const scores = tensor as OutputTensor & { readonly datatype: 'FP32' };
      return { tensor: await inTurns(classified(scores, classification, model)), binary };
    }),
  );
}

/** Throws INVALID_REQUEST for more classes of all images than an answer may have. */
export function checkClassification(asked: readonly AskedOutput[] | undefined, images: number, classes: number): void {
  const most = Math.max(0, ...(asked ?? []).map(({ classification = 0 }) => classification));
  const predicted = images * Math.min(most, classes);
  if (predicted <= MAX_PREDICTIONS) return;
  throw new ServiceError(
    'INVALID_REQUEST',
    `The answer would have ${predicted} classes; the limit is ${MAX_PREDICTIONS}.`,
    {
      limit: { name: 'predictions', value: MAX_PREDICTIONS, needed: predicted },
    },
  );
}

/** Throws INVALID_REQUEST for outputs that the model does not have. Costs nothing: nothing has run. */
export function checkOutputs(asked: readonly AskedOutput[] | undefined, known: readonly string[]): void {
  for (const [index, { name, classification }] of (asked ?? []).entries()) {
    if (!known.includes(name)) throw faultAt(`outputs[${index}].name`, `must be one of: ${known.join(', ')}`);
    if (classification !== undefined && name !== 'scores') {
      throw faultAt(`outputs[${index}].parameters.classification`, 'is for the output scores');
    }
  }
}
