/**
 * The winning class of every position: a label map. One run gives it directly, the dense view's arg-max. With several
 * scales or mirrors the classes that win anywhere are candidates; their probabilities are averaged as class maps are
 * (heatmap.ts), and the best candidate wins.
 */
import type { MapGeometry } from '../graph/geometry.js';
import { denseViews, type CompiledModel } from '../models/compile.js';
import type { DenseForm } from '../models/dense-views.js';
import { expectTensor } from '../tensor.js';
import { answerEach, type FailedImage } from './answer-each.js';
import { mapImage } from './heatmap.js';
import type { ImageHeader } from '../images/image-header.js';
import { sumTimings, type ImageInput, type Inference, type Pass, type Timing } from './infer.js';
import type { InputPlan } from '../maps/input-plan.js';
import { UNLABELLED, type LabelMap } from '../maps/label-map.js';
import { boxBetween, type Box } from '../maps/localize.js';
import { cellEdges, type PlacedLabels } from '../maps/outline.js';
import { placeMap, type Placement } from '../maps/place.js';
import { regionFrom, type Region } from '../maps/regions.js';
import type { RequestContext } from './request-context.js';
import type { ClassMap } from '../maps/row-sampler.js';
import type { InputOptions, PassRequest } from './variants.js';

/** Classes whose maps are averaged over several runs: more than these win nowhere but in specks. */
const MAX_CANDIDATES = 32;

export interface SegmentOptions extends InputOptions, DenseForm {
  /** Positions whose best class is less probable than this stay unlabelled. */
  readonly minProbability: number;
}

export interface ClassSegment {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** Of the cells, 0 to 1. */
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
  /** Of the classes that win somewhere, by share. */
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
  // What the model cannot give no image gets: it fails the request.
  denseViews(model).view(options);
  const results = await answerEach(inference, images, options, context, (image, shared) =>
    segmentImage(inference, model, image, options, shared),
  );
  return {
    results,
    timing: sumTimings(results.flatMap((result) => ('timing' in result ? [result.timing] : []))),
  };
}

async function segmentImage(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  options: SegmentOptions,
  context: RequestContext,
): Promise<Segmentation> {
  const header = await inference.header(image);
  const view = denseViews(model).view(options);
  const { geometry } = view;
  const request: PassRequest = { model, viewFor: () => view, input: options, classes: [model.labels.length] };
  const variants = inference.variants(header, request);
  const passes = await inference.run(image, header, variants, request, context);
  const [first] = passes as [Pass];
  const timing = sumTimings(passes.map((pass) => pass.timing));
  if (passes.length === 1) {
    const { plan } = first;
    const labels = labelsOf(first, options.minProbability);
    const placement = placeMap(geometry, plan);
    const legend = describe({ labels, placement, plan }, model);
    return { name: image.name, header, plan, geometry, placement, labels, timing, ...legend };
  }
  const classes = candidates(passes);
  const averaged = await mapImage(inference, model, image, { ...options, classes, scores: 'probability' }, context);
  const { plan, placement } = averaged;
  const labels = bestOf(averaged.classes, options.minProbability);
  return {
    name: image.name,
    header,
    plan,
    geometry,
    placement,
    labels,
    timing: sumTimings([timing, averaged.timing]),
    ...describe({ labels, placement, plan }, model),
  };
}

/** The label map of one run, from what left the session. */
function labelsOf({ outputs }: Pass, minProbability: number): LabelMap {
  const best = expectTensor(outputs, 'best_class', 'int64');
  const logits = expectTensor(outputs, 'best_logit', 'float32').data;
  const normalizer = expectTensor(outputs, 'log_normalizer', 'float32').data;
  const [height = 0, width = 0] = best.dims;
  const values = Uint16Array.from(best.data, (index, cell) =>
    Math.exp(logits[cell]! - normalizer[cell]!) < minProbability ? UNLABELLED : Number(index),
  );
  return { values, width, height };
}

/** The classes that win somewhere in some run, those that win most cells first. */
function candidates(passes: readonly Pass[]): number[] {
  const cells = new Map<number, number>();
  for (const { outputs } of passes) {
    const { data } = expectTensor(outputs, 'best_class', 'int64');
    for (const index of data) cells.set(Number(index), (cells.get(Number(index)) ?? 0) + 1 / data.length);
  }
  const byShare = [...cells].sort(([, a], [, b]) => b - a);
  return byShare.slice(0, MAX_CANDIDATES).map(([index]) => index);
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

/** The legend: for each class that occurs its share and the boxes of its regions. */
function describe(placed: PlacedLabels, model: CompiledModel): Pick<Segmentation, 'classes' | 'unlabelled'> {
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
        ...model.labels[index]!,
        share: shareOf(index),
        boxes: regions.sort((a, b) => b.cells - a.cells).map(({ box }) => box),
      }))
      .sort((a, b) => b.share - a.share),
  };
}
