/**
 * The winning class of every position: a label map. A single pass gives it directly: it is the dense view's arg-max.
 * With several scales or mirrors, the classes that win anywhere are candidates. Their probabilities are averaged like
 * class maps (class-maps.ts), and the best candidate wins.
 *
 * Candidates are known only when every pass has run, and their maps must come from every pass. So passes are asked for
 * all classes at once. If that would take too much memory (plan.ts), the passes are decoded and run a second time for
 * the candidates: only the candidates' own maps give the exact mean.
 */
import type { MapGeometry } from '../graph/geometry.js';
import type { ImageHeader } from '../images/image-header.js';
import type { InputPlan } from '../maps/input-plan.js';
import { UNLABELLED, type LabelMap } from '../maps/label-map.js';
import { boxBetween, type Box } from '../maps/localize.js';
import { cellEdges, type PlacedLabels } from '../maps/outline.js';
import type { Placement } from '../maps/place.js';
import { regionFrom, type Region } from '../maps/regions.js';
import type { ClassMap } from '../maps/row-sampler.js';
import { denseViews, type CompiledModel } from '../models/compile.js';
import type { DenseForm } from '../models/dense-views.js';
import { answerEach, type FailedImage } from './answer-each.js';
import { averageMap, finestOf, needMapsOf, readMaps, type PassMaps } from './class-maps.js';
import type { ImageInput, Inference, Question } from './infer.js';
import type { InputOptions } from './plan.js';
import type { RequestContext } from './request-context.js';
import { sumTimings, type Timing } from './timing.js';

/** At most this many classes have their maps averaged over several passes. Further classes win only in specks. */
const MAX_CANDIDATES = 32;

export interface SegmentOptions extends InputOptions, DenseForm {
  /** Positions whose best class is less probable than this stay unlabelled. */
  readonly minProbability: number;
}

export interface ClassSegment {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** Share of the cells, 0 to 1. */
  readonly share: number;
  /** One for each connected region, the largest first, in photo pixels. */
  readonly boxes: readonly Box[];
}

export interface Segmentation {
  readonly name: string;
  readonly header: ImageHeader;
  readonly plan: InputPlan;
  /** Where the cells look, in pixels of that plan's input. */
  readonly geometry: MapGeometry;
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

/** Throws OUTPUT_UNSUPPORTED where the model has no such maps: no image would get them. */
export function segmentQuestion(
  model: CompiledModel,
  options: SegmentOptions,
): Question<PassMaps, Omit<Segmentation, 'name' | 'timing'>> {
  const { labels: names } = model;
  const view = denseViews(model).view(options);
  return {
    model,
    viewFor: () => view,
    input: options,
    // The graph needs a class: the image's own best.
    classes: [names.length],
    everyClass: true,
    read: readMaps,
    need: (passes) => needMapsOf(passes, passes.length === 1 ? [] : candidates(passes)),
    async combine(passes, { header }, classes) {
      const finest = finestOf(passes);
      const { plan, geometry, placement } = finest;
      const labels =
        passes.length === 1
          ? labelsOf(finest, options.minProbability)
          : await labelsOfMean(passes, classes, options.minProbability);
      const legend = describe({ labels, placement, plan }, names);
      return { header, plan, geometry, placement, labels, ...legend };
    },
  };
}

/** The label map of a single pass. */
function labelsOf({ bestClass, bestLogit, logNormalizer, width, height }: PassMaps, minProbability: number): LabelMap {
  const values = Uint16Array.from(bestClass, (index, cell) =>
    Math.exp(bestLogit[cell]! - logNormalizer[cell]!) < minProbability ? UNLABELLED : Number(index),
  );
  return { values, width, height };
}

/** The classes that win somewhere in some pass, the largest share first. */
function candidates(passes: readonly PassMaps[]): number[] {
  const cells = new Map<number, number>();
  for (const { bestClass } of passes) {
    for (const index of bestClass) cells.set(Number(index), (cells.get(Number(index)) ?? 0) + 1 / bestClass.length);
  }
  const byShare = [...cells].sort(([, a], [, b]) => b - a);
  return byShare.slice(0, MAX_CANDIDATES).map(([index]) => index);
}

/** The label map of the mean probabilities of these classes. */
async function labelsOfMean(
  passes: readonly PassMaps[],
  classes: readonly number[],
  minProbability: number,
): Promise<LabelMap> {
  const maps = classes.map(async (index) => ({ index, map: await averageMap(passes, index, 'probability') }));
  return bestOf(await Promise.all(maps), minProbability);
}

function bestOf(classes: readonly { index: number; map: ClassMap }[], minProbability: number): LabelMap {
  const { width, height } = classes[0]!.map;
  const values = new Uint16Array(width * height).fill(UNLABELLED);
  const best = new Float32Array(width * height).fill(minProbability);
  for (const { index, map } of classes) {
    map.values.forEach((probability, cell) => {
      if (probability < best[cell]! || (probability === best[cell] && values[cell] !== UNLABELLED)) return;
      best[cell] = probability;
      values[cell] = index;
    });
  }
  return { values, width, height };
}

/** The legend: the share of each class that occurs, and the boxes of its regions. */
function describe(placed: PlacedLabels, names: CompiledModel['labels']): Pick<Segmentation, 'classes' | 'unlabelled'> {
  const { labels, plan } = placed;
  const { values } = labels;
  const { xs, ys } = cellEdges(placed);
  const boxOf = ({ left, top, right, bottom }: Region): Box =>
    boxBetween({ x: xs[left]!, y: ys[top]! }, { x: xs[right + 1]!, y: ys[bottom + 1]! }, plan.photo);
  const seen = new Uint8Array(values.length);
  const byClass = new Map<number, { cells: number; box: Box }[]>();
  values.forEach((index, cell) => {
    if (seen[cell] === 1) return;
    const region = regionFrom(cell, labels, (other) => values[other] === index, seen);
    const regions = byClass.get(index) ?? [];
    byClass.set(index, regions);
    regions.push({ cells: region.cells, box: boxOf(region) });
  });
  const shareOf = (index: number): number =>
    (byClass.get(index) ?? []).reduce((cells, region) => cells + region.cells, 0) / values.length;
  return {
    unlabelled: shareOf(UNLABELLED),
    classes: [...byClass]
      .filter(([index]) => index !== UNLABELLED)
      .map(([index, regions]) => ({
        index,
        ...names[index]!,
        share: shareOf(index),
        boxes: regions.sort((a, b) => b.cells - a.cells).map(({ box }) => box),
      }))
      .sort((a, b) => b.share - a.share),
  };
}
