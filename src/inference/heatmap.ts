/**
 * Class maps: where in a photo each class is. The dense view is run once for each scale (and mirrored, with `flip`);
 * each run's map knows where its cells look in the photo, so maps of different runs are brought onto the cells of the
 * finest one by geometry, not by stretching, and averaged (multi-scale evaluation: Simonyan 2015 §3.2, Chen 2015).
 */
import type { MapGeometry } from '../graph/geometry.js';
import { denseViews, type CompiledModel } from '../models/compile.js';
import type { DenseForm, DenseView } from '../models/dense-views.js';
import { expectTensor } from '../tensor.js';
import { answerEach, type FailedImage } from './answer-each.js';
import type { ImageHeader } from '../images/image-header.js';
import { sumTimings, type ImageInput, type Inference, type Pass, type Timing } from './infer.js';
import type { InputPlan } from '../maps/input-plan.js';
import { ANY_CLASS, type ClassSelector } from '../classes/classes.js';
import { extentOf, HALF, peakOf, type Extent, type Peak, type Threshold } from '../maps/localize.js';
import { composeAffine, invertAffine, mirrorInput, placeMap, type Affine, type Placement } from '../maps/place.js';
import type { RequestContext } from './request-context.js';
import type { ClassMap } from '../maps/row-sampler.js';
import { meanScores, probabilitiesOf, topK, type MapScores, type ScoreKind } from '../maps/scores.js';
import { upsampleMap } from '../maps/upsample.js';
import type { InputOptions, PassRequest } from './variants.js';

export interface HeatmapOptions extends InputOptions, DenseForm {
  readonly classes: readonly ClassSelector[];
  /**
   * What a map's values are: probabilities over classes at each position, raw scores, or raw scores scaled to [0, 1] by the
   * map's own extremes, as class activation maps are drawn (Zhou 2016). A map of one value is scaled to zeros.
   */
  readonly scores: MapScores;
  /** Above which a map is said to show the class; default: half of its range. */
  readonly threshold?: Threshold | undefined;
}

/** One class's map over the photo, or that of whatever class is best at each position. */
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
  /** The upright photo's. */
  readonly header: ImageHeader;
  /** The plan of the finest run, whose cells the maps have. */
  readonly plan: InputPlan;
  /** Where the cells of the maps look, in pixels of that plan's input. */
  readonly geometry: MapGeometry;
  readonly placement: Placement;
  readonly classes: readonly ClassHeatmap[];
  readonly timing: Timing;
}

export interface HeatmapAnswer {
  /** One for each image, in the order given. */
  readonly results: readonly (ImageHeatmaps | FailedImage)[];
  readonly timing: Timing;
}

/** Compute the class maps of the images. Throws the ServiceError of the only image, or of the request. */
export async function heatmap(
  inference: Inference,
  model: CompiledModel,
  images: readonly ImageInput[],
  options: HeatmapOptions,
  context: RequestContext,
): Promise<HeatmapAnswer> {
  // What the model cannot give no image gets: it fails the request.
  denseViews(model).view(options);
  const results = await answerEach(inference, images, options, context, (image, shared) =>
    mapImage(inference, model, image, options, shared),
  );
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
  const [maps] = await mapImageAs(inference, model, image, options, [options.scores], context);
  return maps!;
}

/** As mapImage, in each of several kinds of scores out of the same runs; classes are ranked by `options.scores`. */
export async function mapImageAs(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  options: HeatmapOptions,
  kinds: readonly MapScores[],
  context: RequestContext,
): Promise<ImageHeatmaps[]> {
  const header = await inference.header(image);
  const view = denseViews(model).view(options);
  const run = {
    name: image.name,
    header,
    view,
    ...(await runAlike(inference, model, view, image, header, options, context)),
  };
  return Promise.all(kinds.map((scores) => readImage(model, run, { ...options, scores })));
}

interface ImageRun {
  readonly name: string;
  readonly header: ImageHeader;
  readonly view: DenseView;
  readonly selected: readonly SelectedMap[];
  readonly passes: readonly Pass[];
}

async function readImage(
  model: CompiledModel,
  { name, header, view, selected, passes }: ImageRun,
  options: HeatmapOptions,
): Promise<ImageHeatmaps> {
  const runs = passes.map((pass) => readMaps(pass, view, rankingScores(options.scores)));
  const finest = runs.reduce((a, b) => (b.cells > a.cells ? b : a));
  const { plan, placement } = finest;
  const classes = await Promise.all(
    selected.map(async ({ index, position }) => {
      const averaged = await averageMaps(runs, finest, position);
      const { map, normalizedFrom } =
        options.scores === 'normalized' ? normalize(averaged) : { map: averaged, normalizedFrom: undefined };
      return {
        index,
        ...(model.labels[index] ?? ANY_LABEL),
        map,
        peak: peakOf(map, placement, header),
        ...extentOf(map, placement, header, options.threshold ?? HALF),
        normalizedFrom,
      };
    }),
  );
  const timing = sumTimings(passes.map((pass) => pass.timing));
  return { name, header, plan, geometry: view.geometry, placement, classes, timing };
}

/**
 * Run every variant for the same classes. Each run resolves "the image's own best" by itself; where that differs from
 * the best of all runs together, which is what classification would answer, the run is repeated with that class.
 */
async function runAlike(
  inference: Inference,
  model: CompiledModel,
  view: DenseView,
  image: ImageInput,
  header: ImageHeader,
  options: HeatmapOptions,
  context: RequestContext,
): Promise<{ selected: readonly SelectedMap[]; passes: readonly Pass[] }> {
  // The best of each position leaves every run; the graph wants a class even where no other is asked for.
  const named = options.classes.filter((selector) => selector !== ANY_CLASS);
  const asked = named.length === 0 ? [model.labels.length] : named;
  const request: PassRequest = { model, viewFor: () => view, input: options, classes: asked };
  const variants = inference.variants(header, request);
  const passes = await inference.run(image, header, variants, request, context);
  const ranked = topK(
    meanScores(
      passes.map(({ outputs }) => outputs),
      rankingScores(options.scores),
    ),
    Math.max(...asked) - model.labels.length + 1,
  );
  const indices = asked.map((selector) => ranked[selector - model.labels.length]?.index ?? selector);
  const differing = passes.flatMap((pass, position) =>
    selectedBy(pass).every((index, k) => index === indices[k]) ? [] : [position],
  );
  const repeated = await inference.run(
    image,
    header,
    differing.map((position) => variants[position]!),
    { ...request, classes: indices },
    context,
  );
  let next = 0;
  const selected = options.classes.map((selector) => {
    const position = selector === ANY_CLASS ? asked.length : next++;
    return { index: indices[position] ?? ANY_CLASS, position };
  });
  return {
    selected,
    passes: passes.map((pass, position) => repeated[differing.indexOf(position)] ?? pass),
  };
}

function selectedBy({ outputs }: Pass): number[] {
  return Array.from(expectTensor(outputs, 'classes_selected', 'int64').data, Number);
}

/** A class, and which of a run's maps is its. */
interface SelectedMap {
  readonly index: number;
  readonly position: number;
}

interface PlacedMaps {
  readonly plan: InputPlan;
  readonly placement: Placement;
  readonly cells: number;
  /** Of the classes that the run was asked for, then that of the best class of each position. */
  readonly maps: readonly ClassMap[];
}

function rankingScores(scores: MapScores): ScoreKind {
  return scores === 'normalized' ? 'logit' : scores;
}

function readMaps({ outputs, plan, mirrored }: Pass, { geometry }: DenseView, kind: ScoreKind): PlacedMaps {
  const logits = expectTensor(outputs, 'class_logits', 'float32');
  const [count = 0, height = 0, width = 0] = logits.dims;
  const normalizer = expectTensor(outputs, 'log_normalizer', 'float32').data;
  const bestLogits = expectTensor(outputs, 'best_logit', 'float32').data;
  const valuesOf = (scores: Float32Array): Float32Array =>
    kind === 'logit' ? scores : probabilitiesOf(scores, normalizer);
  const values = valuesOf(logits.data);
  const cells = width * height;
  const placement = placeMap(geometry, plan);
  return {
    plan,
    placement: mirrored ? mirrorInput(placement, geometry, plan) : placement,
    cells,
    maps: [
      ...Array.from({ length: count }, (_, k) => values.subarray(k * cells, (k + 1) * cells)),
      valuesOf(bestLogits),
    ].map((plane) => ({ values: plane, height, width })),
  };
}

function normalize({ values, height, width }: ClassMap): Required<Pick<ClassHeatmap, 'map' | 'normalizedFrom'>> {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const scaled = values.map((value) => (high > low ? (value - low) / (high - low) : 0));
  return { map: { values: scaled, height, width }, normalizedFrom: { low, high } };
}

/** The mean over the runs, each sampled at the centres of the finest run's cells. */
async function averageMaps(runs: readonly PlacedMaps[], finest: PlacedMaps, position: number): Promise<ClassMap> {
  const grid = finest.maps[position]!;
  if (runs.length === 1) return grid;
  const sum = new Float32Array(grid.values.length);
  // upsampleMap samples at x + ½; the finest map's cell x has its centre at cell coordinate x.
  const gridToCells: Affine<'grid', 'cells'> = { scaleX: 1, offsetX: -0.5, scaleY: 1, offsetY: -0.5 };
  const gridToPhoto = composeAffine(gridToCells, invertAffine(finest.placement));
  for (const run of runs) {
    const placement = composeAffine(gridToPhoto, run.placement);
    const values = await upsampleMap(run.maps[position]!, placement, grid, 'bilinear');
    for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
  }
  return { ...grid, values: sum.map((value) => value / runs.length) };
}
