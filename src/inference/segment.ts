/**
 * The winning class of every position: a label map. A single pass gives it directly: it is the dense view's arg-max.
 * With several scales or mirrors, the classes that win anywhere are candidates. Their probabilities or logits are averaged
 * like class maps (class-maps.ts), and the best candidate wins.
 *
 * Candidates are known only when every pass has run, and their maps must come from every pass. So passes are asked for
 * all classes at once. If that would take too much memory (plan.ts), the passes are decoded and run a second time for
 * the candidates: only the candidates' own maps give the exact mean.
 */
import { ServiceError } from '../errors.js';
import type { ImageHeader } from '../images/image-header.js';
import type { InputPlan } from '../maps/input-plan.js';
import { UNLABELLED, type LabelMap } from '../maps/label-map.js';
import { boxBetween, type Box } from '../maps/localize.js';
import { cellEdges, type PlacedLabels } from '../maps/outline.js';
import type { Placement } from '../maps/place.js';
import { Largest, MAX_REGIONS, regionFrom, type Region } from '../maps/regions.js';
import { probabilitiesOf, type ScoreKind } from '../maps/scores.js';
import { eachRange, StepCounter, type Steps } from '../maps/steps.js';
import { denseView, type CompiledModel } from '../models/compile.js';
import type { DenseForm, ViewGeometry } from '../models/dense-views.js';
import { inTurns } from '../turns.js';
import { answerEach, type Asking, type FailedImage } from './answer-each.js';
import { averageMap, finestOf, needMapsOf, readMaps, type PassMaps } from './class-maps.js';
import type { ImageInput, Inference } from './infer.js';
import type { HeaderCheck, InputOptions } from './plan.js';
import { checkAlive, type RequestContext } from './request-context.js';
import { sumTimings, type Timing } from './timing.js';

/** At most this many classes have their maps averaged over several passes. Further classes win only in specks. */
const MAX_CANDIDATES = 32;

export interface SegmentOptions extends InputOptions, DenseForm {
  /** What several passes are averaged as, before the best class wins. Default: probability. */
  readonly scores?: ScoreKind | undefined;
  /** Positions whose best class is less probable than this stay unlabelled. */
  readonly minProbability: number;
  readonly checkHeader?: HeaderCheck | undefined;
}

export interface ClassSegment {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** Share of the cells, 0 to 1. */
  readonly share: number;
  /** One for each connected region, the largest first, in photo pixels. */
  readonly boxes: readonly Box[];
  /** How many smaller regions there are that `boxes` leaves out; absent if none. */
  readonly boxesLeftOut?: number | undefined;
}

export interface Segmentation {
  readonly name: string;
  readonly header: ImageHeader;
  readonly plan: InputPlan;
  /** Where the cells look, in pixels of that plan's input. */
  readonly geometry: ViewGeometry;
  readonly placement: Placement;
  readonly labels: LabelMap;
  /** The classes that win somewhere, the largest share first. */
  readonly classes: readonly ClassSegment[];
  /** Share of the cells that are unlabelled. */
  readonly unlabelled: number;
  readonly timing: Timing;
}

export interface SegmentAnswer {
  /** One for each image, in the order given. */
  readonly results: readonly (Segmentation | FailedImage)[];
  readonly timing: Timing;
}

/** Label every position of the images. Throws the ServiceError of the only image, or of the request. */
export async function segment(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: SegmentOptions,
  context: RequestContext,
): Promise<SegmentAnswer> {
  const answers = await answerEach(inference, images, segmentQuestion(model, options), context);
  const results = answers.map((answer) =>
    'problem' in answer ? answer : { name: answer.name, ...answer.answer, timing: answer.timing },
  );
  return {
    results,
    timing: sumTimings(results.flatMap((result) => ('timing' in result ? [result.timing] : []))),
  };
}

/**
 * Maps of cells that exist at the same time: labels, the best score, one class's mean, its map in one pass, and with logits
 * its mean probability.
 */
const MAPS_MADE = { probability: 4, logit: 5 } as const;

/** Throws OUTPUT_UNSUPPORTED where the model has no such maps, or more classes than there are labels: no image would get them. */
export function segmentQuestion(
  model: CompiledModel,
  options: SegmentOptions,
): Asking<PassMaps, Omit<Segmentation, 'name' | 'timing'>> {
  const { labels: names } = model;
  const view = denseView(model, options);
  if (names.length > UNLABELLED) {
    throw new ServiceError(
      'OUTPUT_UNSUPPORTED',
      `${model.manifest.name} has ${names.length} classes; a label map has ${UNLABELLED} at most.`,
    );
  }
  return (context) => ({
    model,
    viewFor: () => view,
    input: options,
    // The graph needs a class: the image's own best.
    classes: [names.length],
    everyClass: true,
    checkHeader: options.checkHeader,
    maps: {
      answered: 1,
      made: MAPS_MADE[options.scores ?? 'probability'],
      again: Math.min(MAX_CANDIDATES, names.length),
    },
    read: (outputs, pass) => readMaps(outputs, pass, model.conversion),
    *need(passes) {
      return needMapsOf(passes, passes.length === 1 ? [] : yield* candidates(passes, names.length));
    },
    async combine(passes, { header }, classes) {
      const { plan, geometry, placement } = finestOf(passes);
      const check = (): void => checkAlive(context);
      const labels = await inTurns(labelsOf(passes, classes, options), check);
      const legend = await inTurns(describe({ labels, placement, plan }, names), check);
      return { header, plan, geometry, placement, labels, ...legend };
    },
  });
}

function labelsOf(
  passes: readonly PassMaps[],
  classes: readonly number[],
  { scores = 'probability', minProbability }: SegmentOptions,
): Steps<LabelMap> {
  return passes.length === 1
    ? labelsOfPass(passes[0]!, minProbability)
    : labelsOfMean(passes, classes, scores, minProbability);
}

function* labelsOfPass(pass: PassMaps, minProbability: number): Steps<LabelMap> {
  const { bestClass, bestLogit, logNormalizer, conversion, width, height } = pass;
  const best = yield* probabilitiesOf(bestLogit, logNormalizer, conversion);
  const values = new Uint16Array(width * height);
  yield* eachRange(values.length, (from, end) => {
    for (let cell = from; cell < end; cell++) {
      checkNumber(best[cell]!);
      values[cell] = best[cell]! < minProbability ? UNLABELLED : bestClass[cell]!;
    }
  });
  return { values, width, height };
}

/** NaN is less than nothing: the class would be a guess. */
function checkNumber(score: number): void {
  if (Number.isNaN(score)) throw new Error('the scores of a position have values that are no numbers');
}

/** The classes that win somewhere in some pass, the largest share first. */
export function* candidates(passes: readonly PassMaps[], classCount: number): Steps<number[]> {
  const shares = new Float64Array(classCount);
  for (const { bestClass } of passes) {
    const share = 1 / bestClass.length;
    yield* eachRange(bestClass.length, (from, end) => {
      for (let cell = from; cell < end; cell++) shares[bestClass[cell]!]! += share;
    });
  }
  const winners = Array.from(shares.keys()).filter((index) => shares[index]! > 0);
  return winners.sort((a, b) => shares[b]! - shares[a]!).slice(0, MAX_CANDIDATES);
}

/**
 * The label map of the mean scores of these classes. A cell stays unlabelled if the mean probability of its best class is
 * below the least. Only one class's maps exist at a time.
 */
function* labelsOfMean(
  passes: readonly PassMaps[],
  classes: readonly number[],
  scores: ScoreKind,
  minProbability: number,
): Steps<LabelMap> {
  const { width, height } = finestOf(passes);
  const labels = new Uint16Array(width * height).fill(UNLABELLED);
  const best = new Float32Array(width * height).fill(-Infinity);
  for (const index of classes) {
    const { values } = yield* averageMap(passes, index, scores);
    const probabilities = scores === 'probability' ? values : (yield* averageMap(passes, index, 'probability')).values;
    yield* eachRange(values.length, (from, end) => {
      for (let cell = from; cell < end; cell++) {
        checkNumber(values[cell]! + probabilities[cell]!);
        if (values[cell]! <= best[cell]!) continue;
        best[cell] = values[cell]!;
        labels[cell] = probabilities[cell]! < minProbability ? UNLABELLED : index;
      }
    });
  }
  return { values: labels, width, height };
}

/** The legend: the share of each class that occurs, and the boxes of its regions. */
function* describe(
  placed: PlacedLabels,
  names: CompiledModel['labels'],
): Steps<Pick<Segmentation, 'classes' | 'unlabelled'>> {
  const { labels, plan } = placed;
  const { values } = labels;
  const { xs, ys } = yield* cellEdges(placed);
  const boxOf = ({ left, top, right, bottom }: Region): Box =>
    boxBetween({ x: xs[left]!, y: ys[top]! }, { x: xs[right + 1]!, y: ys[bottom + 1]! }, plan.photo);
  const seen = new Uint8Array(values.length);
  const steps = new StepCounter();
  const byClass = new Map<number, { cells: number; readonly regions: Largest<Region> }>();
  /** For each class as many, but at least one. */
  const most = (): number => Math.max(1, Math.floor(MAX_REGIONS / byClass.size));
  for (let cell = 0; cell < values.length; cell++) {
    if (steps.isDue(1)) yield;
    if (seen[cell] === 1) continue;
    const index = values[cell]!;
    const region = yield* regionFrom(cell, labels, (other) => values[other] === index, seen, steps);
    const known = byClass.get(index) ?? { cells: 0, regions: new Largest<Region>((each) => each.cells) };
    byClass.set(index, known);
    known.cells += region.cells;
    known.regions.add(region, most());
  }
  const classes = [...byClass]
    .filter(([index]) => index !== UNLABELLED)
    .map(([index, { cells, regions }]) => {
      const kept = regions.take(most());
      return {
        index,
        ...names[index]!,
        share: cells / values.length,
        boxes: kept.map(boxOf),
        ...(regions.added > kept.length ? { boxesLeftOut: regions.added - kept.length } : {}),
      };
    });
  return {
    unlabelled: (byClass.get(UNLABELLED)?.cells ?? 0) / values.length,
    classes: classes.sort((a, b) => b.share - a.share),
  };
}
