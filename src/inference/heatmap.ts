/**
 * Class maps: where in a photo each class is. The dense view is run once for each scale, and once more mirrored with
 * `flip`. The maps of all passes are averaged (class-maps.ts).
 *
 * A pass that is asked for "the image's own best" takes the best class of its own logits. The answer needs the best
 * class of all passes together, which is what classification would answer. If the two differ, the pass lacks a map and
 * is run again with the class's index.
 */
import { ANY_CLASS, type ClassSelector } from '../classes/classes.js';
import type { ImageHeader } from '../images/image-header.js';
import type { InputPlan } from '../maps/input-plan.js';
import { extentOf, extremesOf, HALF, peakOf, type Extent, type Peak, type Threshold } from '../maps/localize.js';
import type { Placement } from '../maps/place.js';
import { MAX_REGIONS } from '../maps/regions.js';
import type { ClassMap } from '../maps/row-sampler.js';
import { meanScores, topK, type MapScores, type ScoreKind } from '../maps/scores.js';
import { eachRange, type Steps } from '../maps/steps.js';
import { denseView, type CompiledModel } from '../models/compile.js';
import type { DenseForm, ViewGeometry } from '../models/dense-views.js';
import { inTurns } from '../turns.js';
import { answerEach, type AnsweredImage, type Asking, type FailedImage } from './answer-each.js';
import { averageMap, finestOf, needMapsOf, readMaps, type PassMaps } from './class-maps.js';
import type { ImageInput, Inference } from './infer.js';
import type { ValueLimit } from './map-account.js';
import type { HeaderCheck, ImagePlan, InputOptions } from './plan.js';
import { checkAlive, type RequestContext } from './request-context.js';
import { sumTimings, type Timing } from './timing.js';

export interface HeatmapOptions extends InputOptions, DenseForm {
  readonly classes: readonly ClassSelector[];
  /**
   * What a map's values are: probabilities over classes at each position, raw scores, or raw scores scaled to [0, 1] by
   * the map's own extremes, as class activation maps are drawn (Zhou 2016). A constant map is scaled to zeros.
   */
  readonly scores: MapScores;
  /** A map shows the class where it is at or above this; default: half of its range. */
  readonly threshold?: Threshold | undefined;
  /** Of the answer; absent: MAX_VALUES. */
  readonly maxValues?: ValueLimit | undefined;
  readonly checkHeader?: HeaderCheck | undefined;
}

/** The map of one class over the photo, or that of the best class of each position. */
export interface ClassHeatmap extends Extent {
  /** ANY_CLASS for the best of all classes. */
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** `[h, w]` */
  readonly map: ClassMap;
  readonly peak: Peak;
  /** For normalized maps: the raw scores that became 0 and 1. */
  readonly normalizedFrom: { readonly low: number; readonly high: number } | undefined;
}

const ANY_LABEL = { id: 'none', label: 'the best class of each position' };

export interface ImageHeatmaps {
  readonly name: string;
  /** Of the upright photo. */
  readonly header: ImageHeader;
  /** The input plan of the finest pass. The maps have its cells. */
  readonly plan: InputPlan;
  /** Where the cells of the maps look, in pixels of that plan's input. */
  readonly geometry: ViewGeometry;
  readonly placement: Placement;
  readonly classes: readonly ClassHeatmap[];
  readonly timing: Timing;
}

export interface HeatmapAnswer {
  /** One for each image, in the order given. */
  readonly results: readonly (ImageHeatmaps | FailedImage)[];
  readonly timing: Timing;
}

/** The heatmaps of a photo without its name and timing. */
type PhotoHeatmaps = Omit<ImageHeatmaps, 'name' | 'timing'>;

/**
 * Compute the class maps of the images. Throws the ServiceError of the only image, or of the request; IMAGE_TOO_LARGE if
 * the maps of all images are too much for an answer.
 */
export async function heatmap(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: HeatmapOptions,
  context: RequestContext,
): Promise<HeatmapAnswer> {
  const asking = heatmapQuestion(model, options, [options.scores]);
  const answers = await answerEach(inference, images, asking, context, options.maxValues);
  const results = answers.map((answer) => ('problem' in answer ? answer : present(answer)[0]!));
  return {
    results,
    timing: sumTimings(results.flatMap((result) => ('timing' in result ? [result.timing] : []))),
  };
}

/** The class maps of one image, without taking a place in the server. Throws ServiceError. */
export async function mapImage(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  options: HeatmapOptions,
  context: RequestContext,
): Promise<ImageHeatmaps> {
  const [maps] = await mapImageAs(inference, model, image, { ...options, kinds: [options.scores] }, context);
  return maps!;
}

/**
 * Like mapImage, but gives the maps in each of several kinds of scores from the same runs. Classes are ranked by
 * `options.scores`.
 */
export async function mapImageAs(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  { kinds, ...options }: HeatmapOptions & { readonly kinds: readonly MapScores[] },
  context: RequestContext,
): Promise<ImageHeatmaps[]> {
  const done = await inference.answer(image, heatmapQuestion(model, options, kinds)(context), context);
  return present({ name: image.name, ...done });
}

function present({ name, answer, timing }: AnsweredImage<PhotoHeatmaps[]>): ImageHeatmaps[] {
  return answer.map((maps) => ({ name, ...maps, timing }));
}

/** Throws OUTPUT_UNSUPPORTED if the model has no such maps, whatever the image. */
function heatmapQuestion(
  model: CompiledModel,
  options: HeatmapOptions,
  kinds: readonly MapScores[],
): Asking<PassMaps, PhotoHeatmaps[]> {
  const { labels } = model;
  const view = denseView(model, options);
  // Every run gives the best class of each position. The graph needs one more class, even if none is asked for.
  const named = options.classes.filter((selector) => selector !== ANY_CLASS);
  const isRanked = named.some((selector) => selector >= labels.length);
  const answered = options.classes.length;
  return (context) => ({
    model,
    viewFor: () => view,
    input: options,
    classes: named.length === 0 ? [labels.length] : named,
    maps: { answered, made: answered * kinds.length, again: isRanked ? named.length : 0 },
    checkHeader: options.checkHeader,
    read: (outputs, pass) => readMaps(outputs, pass, model.conversion),
    *need(passes) {
      return needMapsOf(passes, yield* resolveSelectors(named, passes, options.scores));
    },
    async combine(passes, plan, resolved) {
      let next = 0;
      const indices = options.classes.map((selector) => (selector === ANY_CLASS ? ANY_CLASS : resolved[next++]!));
      const answers: PhotoHeatmaps[] = [];
      for (const scores of kinds) {
        const combining = combineAs({ ...options, scores }, passes, plan, { labels, indices });
        answers.push(await inTurns(combining, () => checkAlive(context)));
      }
      return answers;
    },
  });
}

/** Selectors as indices. Selector K + r is the class of rank r, from 0, of all passes together. */
function* resolveSelectors(
  named: readonly ClassSelector[],
  passes: readonly PassMaps[],
  scores: MapScores,
): Steps<number[]> {
  const logits = passes.map(({ imageLogits }) => imageLogits);
  const classes = logits[0]!.length;
  const means = yield* meanScores(logits, scoreKind(scores), passes[0]!.conversion);
  const ranked = topK(means, Math.max(...named) - classes + 1);
  return named.map((selector) => ranked[selector - classes]?.index ?? selector);
}

/** Classes are ranked, and maps averaged, before maps are normalized. */
function scoreKind(scores: MapScores): ScoreKind {
  return scores === 'normalized' ? 'logit' : scores;
}

function* combineAs(
  { scores, threshold = HALF }: HeatmapOptions,
  passes: readonly PassMaps[],
  { header }: ImagePlan,
  { labels, indices }: { readonly labels: CompiledModel['labels']; readonly indices: readonly number[] },
): Steps<PhotoHeatmaps> {
  const { plan, geometry, placement } = finestOf(passes);
  const mostRegions = Math.floor(MAX_REGIONS / indices.length);
  const classes: ClassHeatmap[] = [];
  for (const index of indices) {
    const averaged = yield* averageMap(passes, index, scoreKind(scores));
    const { map, normalizedFrom } =
      scores === 'normalized' ? yield* normalize(averaged) : { map: averaged, normalizedFrom: undefined };
    const extent = yield* extentOf(map, placement, header, threshold, mostRegions);
    // The mean is finite only if every value is; a map of infinite ones is normalized to zeros.
    const { low = 0, high = 0 } = normalizedFrom ?? {};
    if (![extent.mean, low, high].every(Number.isFinite)) {
      throw new Error(`the map of class ${index} has values that are no numbers`);
    }
    classes.push({
      index,
      ...(labels[index] ?? ANY_LABEL),
      map,
      peak: yield* peakOf(map, placement, header),
      ...extent,
      normalizedFrom,
    });
  }
  return { header, plan, geometry, placement, classes };
}

function* normalize({
  values,
  height,
  width,
}: ClassMap): Steps<Required<Pick<ClassHeatmap, 'map' | 'normalizedFrom'>>> {
  const { low, high } = yield* extremesOf(values);
  const scaled = new Float32Array(values.length);
  yield* eachRange(values.length, (from, end) => {
    for (let i = from; high > low && i < end; i++) scaled[i] = (values[i]! - low) / (high - low);
  });
  return { map: { values: scaled, height, width }, normalizedFrom: { low, high } };
}
