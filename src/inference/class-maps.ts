/**
 * Reads the outputs of a dense view: the maps of the classes asked for, and the best class of each position. Each
 * pass's map knows where its cells look in the photo. So the maps of different passes are brought onto the cells of the
 * finest one by geometry, not by stretching, and averaged (multi-scale evaluation: Simonyan 2015 §3.2, Chen 2015).
 */
import { ANY_CLASS } from '../classes/classes.js';
import type { ViewGeometry } from '../models/dense-views.js';
import type { InputPlan } from '../maps/input-plan.js';
import { composeAffine, invertAffine, mirrorInput, placeMap, type Affine, type Placement } from '../maps/place.js';
import { rowSampler, type ClassMap } from '../maps/row-sampler.js';
import { probabilitiesOf, type Conversion, type ScoreKind } from '../maps/scores.js';
import { eachRange, STEP_CELLS, type Steps } from '../maps/steps.js';
import { expectTensor, type TensorMap } from '../tensor.js';
import type { Need } from './carry-out.js';
import type { PassPlan } from './plan.js';

/** The outputs of one pass: the tensors of graph/passes/select-classes.ts, and where their cells are. */
export interface PassMaps {
  readonly plan: InputPlan;
  /** Where the cells look, in pixels of the input. */
  readonly geometry: ViewGeometry;
  readonly placement: Placement;
  readonly width: number;
  readonly height: number;
  /** Of the whole image, `[K]`. */
  readonly imageLogits: Float32Array;
  /** The C classes that have a map here. −1 for a class on which the tiles of the pass did not agree. */
  readonly selected: readonly number[];
  /** `[C, h, w]` */
  readonly classLogits: Float32Array;
  /** At each position: log Σ exp(logit / temperature) over all classes, the best class, and its logit. `[h, w]` */
  readonly logNormalizer: Float32Array;
  readonly bestClass: Int32Array;
  readonly bestLogit: Float32Array;
  readonly conversion: Conversion;
}

/** Read the outputs of a dense view's pass. The tensors are kept, not copied. */
export function readMaps(outputs: TensorMap, { input, mirrored, map }: PassPlan, conversion: Conversion): PassMaps {
  if (map === undefined) throw new Error('the view gives no class map');
  const { geometry } = map;
  const best = expectTensor(outputs, 'best_class', 'int32');
  const [height = 0, width = 0] = best.dims;
  const placement = placeMap(geometry, input);
  return {
    plan: input,
    geometry,
    placement: mirrored ? mirrorInput(placement, geometry, input) : placement,
    width,
    height,
    imageLogits: expectTensor(outputs, 'logits', 'float32').data,
    selected: Array.from(expectTensor(outputs, 'classes_selected', 'int64').data, Number),
    classLogits: expectTensor(outputs, 'class_logits', 'float32').data,
    logNormalizer: expectTensor(outputs, 'log_normalizer', 'float32').data,
    bestClass: best.data,
    bestLogit: expectTensor(outputs, 'best_logit', 'float32').data,
    conversion,
  };
}

/** The need of a question that combines the maps of these classes. */
export function needMapsOf(passes: readonly PassMaps[], classes: readonly number[]): Need {
  const lacks = ({ selected }: PassMaps): boolean => classes.some((index) => !selected.includes(index));
  return { classes, lacking: passes.flatMap((pass, position) => (lacks(pass) ? [position] : [])) };
}

/** The pass with the most cells; the first one if several have as many. */
export function finestOf(passes: readonly PassMaps[]): PassMaps {
  return passes.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a));
}

/**
 * The mean map of a class over the passes, or with ANY_CLASS that of the best class of each position. Each pass is
 * sampled at the centres of the finest pass's cells. Every pass must have the class. The logits of a single pass are
 * not copied: the map shares the pass's memory.
 */
export function* averageMap(passes: readonly PassMaps[], index: number, kind: ScoreKind): Steps<ClassMap> {
  const finest = finestOf(passes);
  if (passes.length === 1) return yield* mapOf(finest, index, kind);
  const { width, height } = finest;
  const sum = new Float32Array(width * height);
  // rowSampler samples at x + ½; the finest map's cell x has its centre at cell coordinate x.
  const gridToCells: Affine<'grid', 'cells'> = { scaleX: 1, offsetX: -0.5, scaleY: 1, offsetY: -0.5 };
  const gridToPhoto = composeAffine(gridToCells, invertAffine(finest.placement));
  for (const pass of passes) {
    const map = yield* mapOf(pass, index, kind);
    yield* addSamples(sum, finest, map, composeAffine(gridToPhoto, pass.placement));
  }
  yield* eachRange(sum.length, (from, end) => {
    for (let i = from; i < end; i++) sum[i]! /= passes.length;
  });
  return { width, height, values: sum };
}

/** Add the samples of a map at every cell of a grid, `[height, width]`, in strips: rows may be of any length. */
function* addSamples(
  sum: Float32Array,
  { width, height }: Pick<PassMaps, 'width' | 'height'>,
  map: ClassMap,
  placement: Affine<'grid', 'cells'>,
): Steps<void> {
  for (let left = 0; left < width; left += STEP_CELLS) {
    const strip = { left, count: Math.min(STEP_CELLS, width - left) };
    const sample = rowSampler(map, placement, strip, 'bilinear');
    for (let y = 0; y < height; y++) {
      const samples = sample(y);
      const start = y * width + left;
      for (let i = 0; i < samples.length; i++) sum[start + i]! += samples[i]!;
      yield;
    }
  }
}

function* mapOf(pass: PassMaps, index: number, kind: ScoreKind): Steps<ClassMap> {
  const { width, height, logNormalizer, conversion } = pass;
  const logits = logitsOf(pass, index);
  const values = kind === 'logit' ? logits : yield* probabilitiesOf(logits, logNormalizer, conversion);
  return { width, height, values };
}

function logitsOf({ width, height, selected, classLogits, bestLogit }: PassMaps, index: number): Float32Array {
  if (index === ANY_CLASS) return bestLogit;
  const position = selected.indexOf(index);
  if (position < 0) throw new Error(`the pass has no map of class ${index}`);
  const cells = width * height;
  return classLogits.subarray(position * cells, (position + 1) * cells);
}
