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
import type { ImageHeader } from './image-header.js';
import {
  sumTimings,
  type ImageInput,
  type Inference,
  type InputOptions,
  type Pass,
  type PassRequest,
  type Timing,
} from './infer.js';
import type { InputPlan } from './input-plan.js';
import { boxOf, peakOf, type Box, type Peak } from './localize.js';
import { composeAffine, invertAffine, mirrorInput, placeMap, type Affine2 } from './place.js';
import type { RequestContext } from './request-context.js';
import type { ClassMap } from './row-sampler.js';
import { meanScores, probabilitiesOf, topK, type ScoreKind } from './scores.js';
import { upsampleMap } from './upsample.js';

export interface HeatmapOptions extends InputOptions, DenseForm {
  /** Class selectors, see classes.ts. */
  readonly classes: readonly number[];
  readonly scores: ScoreKind;
}

/** One class's map over the photo. */
export interface ClassHeatmap {
  readonly index: number;
  readonly id: string;
  readonly label: string;
  /** `[h, w]`: probabilities over classes at each position, or logits, as asked for. */
  readonly map: ClassMap;
  readonly peak: Peak;
  readonly box: Box;
}

export interface ImageHeatmaps {
  readonly name: string;
  /** The upright photo's. */
  readonly header: ImageHeader;
  /** The plan of the finest run, whose cells the maps have. */
  readonly plan: InputPlan;
  /** Where the cells of the maps look, in pixels of that plan's input. */
  readonly geometry: MapGeometry;
  /** From photo pixels to the cells of the maps. */
  readonly placement: Affine2;
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
  const header = await inference.header(image);
  const view = denseViews(model).view(options);
  const { selected, passes } = await runAlike(inference, model, view, image, header, options, context);
  const runs = passes.map((pass) => readMaps(pass, view, options.scores));
  const finest = runs.reduce((a, b) => (b.cells > a.cells ? b : a));
  const classes = await Promise.all(
    selected.map(async (index, position) => {
      const map = await averageMaps(runs, finest, position);
      return {
        index,
        ...model.labels[index]!,
        map,
        peak: peakOf(map, finest.placement, header),
        box: boxOf(map, finest.placement, header),
      };
    }),
  );
  const { plan, placement } = finest;
  const timing = sumTimings(passes.map((pass) => pass.timing));
  return { name: image.name, header, plan, geometry: view.geometry, placement, classes, timing };
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
): Promise<{ selected: readonly number[]; passes: readonly Pass[] }> {
  const request: PassRequest = { model, viewFor: () => view, input: options, classes: options.classes };
  const variants = inference.variants(header, request);
  const passes = await inference.run(image, header, variants, request, context);
  const ranked = topK(
    meanScores(
      passes.map(({ outputs }) => outputs),
      options.scores,
    ),
    Math.max(...options.classes) - model.labels.length + 1,
  );
  const selected = options.classes.map((selector) => ranked[selector - model.labels.length]?.index ?? selector);
  const differing = passes.flatMap((pass, position) =>
    selectedBy(pass).every((index, k) => index === selected[k]) ? [] : [position],
  );
  const repeated = await inference.run(
    image,
    header,
    differing.map((position) => variants[position]!),
    { ...request, classes: selected },
    context,
  );
  return {
    selected,
    passes: passes.map((pass, position) => repeated[differing.indexOf(position)] ?? pass),
  };
}

function selectedBy({ outputs }: Pass): number[] {
  return Array.from(expectTensor(outputs, 'classes_selected', 'int64').data, Number);
}

interface PlacedMaps {
  readonly plan: InputPlan;
  /** From photo pixels to cells. */
  readonly placement: Affine2;
  readonly cells: number;
  readonly maps: readonly ClassMap[];
}

function readMaps({ outputs, plan, mirrored }: Pass, { geometry }: DenseView, kind: ScoreKind): PlacedMaps {
  const logits = expectTensor(outputs, 'class_logits', 'float32');
  const [count = 0, height = 0, width = 0] = logits.dims;
  const normalizer = expectTensor(outputs, 'log_normalizer', 'float32').data;
  const values = kind === 'logit' ? logits.data : probabilitiesOf(logits.data, normalizer);
  const cells = width * height;
  const placement = placeMap(geometry, plan);
  return {
    plan,
    placement: mirrored ? mirrorInput(placement, geometry, plan) : placement,
    cells,
    maps: Array.from({ length: count }, (_, k) => ({
      values: values.subarray(k * cells, (k + 1) * cells),
      height,
      width,
    })),
  };
}

/** The mean over the runs, each sampled at the centres of the finest run's cells. */
async function averageMaps(runs: readonly PlacedMaps[], finest: PlacedMaps, position: number): Promise<ClassMap> {
  const grid = finest.maps[position]!;
  if (runs.length === 1) return grid;
  const sum = new Float32Array(grid.values.length);
  // upsampleMap samples at x + ½; the finest map's cell x has its centre at cell coordinate x.
  const centreToCell: Affine2 = { scaleX: 1, offsetX: -0.5, scaleY: 1, offsetY: -0.5 };
  const gridToPhoto = composeAffine(centreToCell, invertAffine(finest.placement));
  for (const run of runs) {
    const placement = composeAffine(gridToPhoto, run.placement);
    const values = await upsampleMap(run.maps[position]!, placement, grid, 'bilinear');
    for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
  }
  return { ...grid, values: sum.map((value) => value / runs.length) };
}
