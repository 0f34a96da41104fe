/**
 * Class maps: where in a photo each class is. The dense view is run once for each scale (and mirrored, with `flip`);
 * each run's map knows where its cells look in the photo, so maps of different runs are brought onto the cells of the
 * finest one by geometry, not by stretching, and averaged (multi-scale evaluation: Simonyan 2015 §3.2, Chen 2015).
 */
import { ServiceError } from '../errors.js';
import type { CompiledModel } from '../models/compile.js';
import { expectTensor } from '../tensor.js';
import type { ScoreKind } from './classify.js';
import {
  sumTimings,
  type ImageInput,
  type Inference,
  type InputOptions,
  type Pass,
  type RequestContext,
  type Timing,
} from './infer.js';
import type { ImageHeader } from './image-header.js';
import type { InputPlan } from './input-plan.js';
import { boxOf, peakOf, type Box, type Peak } from './localize.js';
import { composeAffine, invertAffine, mirrorInput, placeMap, type Affine2 } from './place.js';
import { probabilitiesOf } from './scores.js';
import { upsampleMap, type ClassMap } from './upsample.js';

export interface HeatmapOptions extends InputOptions {
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
  /** From photo pixels to the cells of the maps. */
  readonly placement: Affine2;
  readonly classes: readonly ClassHeatmap[];
}

export interface HeatmapAnswer {
  readonly image: ImageHeatmaps;
  readonly timing: Timing;
}

/** Compute the class maps of one image. Throws ServiceError. */
export async function heatmap(
  inference: Inference,
  model: CompiledModel,
  image: ImageInput,
  options: HeatmapOptions,
  context: RequestContext,
): Promise<HeatmapAnswer> {
  const header = await inference.header(image);
  const variants = options.scales.flatMap((scale) =>
    (options.flip ? [false, true] : [false]).map((mirrored) => ({ scale, mirrored })),
  );
  const run = (variant: { scale: number; mirrored: boolean }, classes: readonly number[]): Promise<Pass> =>
    inference.run(
      image,
      header,
      { model, view: 'dense', fit: options.fit, size: options.size, classes, ...variant },
      context,
    );

  // The first run says which class is the image's own best; the others are asked for that one by index.
  const first = await run(variants[0]!, options.classes);
  const selected = Array.from(expectTensor(first.outputs, 'classes_selected', 'int64').data, Number);
  const rest = await Promise.all(variants.slice(1).map((variant) => run(variant, selected)));

  const runs = [first, ...rest].map((pass) => readMaps(pass, model, options.scores));
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
  return {
    image: { name: image.name, header, plan: finest.plan, placement: finest.placement, classes },
    timing: sumTimings([first, ...rest].map((pass) => pass.timing)),
  };
}

interface PlacedMaps {
  readonly plan: InputPlan;
  /** From photo pixels to cells. */
  readonly placement: Affine2;
  readonly cells: number;
  readonly maps: readonly ClassMap[];
}

function readMaps({ outputs, plan, mirrored }: Pass, model: CompiledModel, kind: ScoreKind): PlacedMaps {
  const logits = expectTensor(outputs, 'class_logits', 'float32');
  const [count = 0, height = 0, width = 0] = logits.dims;
  if (width * height === 0) throw new ServiceError('OUTPUT_UNSUPPORTED', 'The input is too small for a class map.');
  const normalizer = expectTensor(outputs, 'log_normalizer', 'float32').data;
  const values = kind === 'logit' ? logits.data : probabilitiesOf(logits.data, normalizer);
  const cells = width * height;
  const placement = placeMap(model.geometry, plan);
  return {
    plan,
    placement: mirrored ? mirrorInput(placement, model.geometry, plan) : placement,
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
  for (const run of runs) {
    // upsampleMap samples at x + ½; the finest map's cell x has its centre at cell coordinate x.
    const cellToPhoto = composeAffine(
      { scaleX: 1, offsetX: -0.5, scaleY: 1, offsetY: -0.5 },
      invertAffine(finest.placement),
    );
    const placement = composeAffine(cellToPhoto, run.placement);
    const values = await upsampleMap(run.maps[position]!, placement, grid, 'bilinear');
    for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
  }
  return { ...grid, values: sum.map((value) => value / runs.length) };
}
