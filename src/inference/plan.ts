/**
 * Second step of a request, **plan**: the passes that an image takes, one for each scale, and with `flip` one more of
 * the mirrored image. All of them are planned and checked against the limits from the header alone. A plan is plain
 * data: carry-out.ts needs only the plan and the encoded bytes, neither the model nor the request.
 */
import { ServiceError, type ParameterError } from '../errors.js';
import type { Interpolation } from '../images/decode.js';
import { inputDecodeCost } from '../images/decode-cost.js';
import type { ImageHeader } from '../images/image-header.js';
import { inputPixels, ofSameShape, planInput, shortSide, type Fit, type InputPlan } from '../maps/input-plan.js';
import { planTiles, type Tiling } from '../maps/tiles.js';
import type { CompiledModel } from '../models/compile.js';
import type { DenseView, View, ViewGeometry } from '../models/dense-views.js';
import type { Size } from '../models/input-size.js';
import type { SessionSpec } from '../runtime/session.js';
import type { Share } from './bill.js';
import type { MapAccount, MapCost } from './map-account.js';

/** One pass may cost as much as this many runs of the largest input. */
const MAX_TILES = 16;

/**
 * One run may make a class map of at most this many values (cells × classes): 256 MB. The limit on pixels does not
 * bound this memory: if a network's cost lies in its coarse layers, a finer output stride costs little per cell.
 */
const MAX_MAP_VALUES = 2 ** 26;

/**
 * The maps of every class leave the sessions only if those of all passes of an image have at most this many values: 16
 * MB.
 */
const MAX_EVERY_CLASS_VALUES = 2 ** 22;

/** Bytes of an input's pixel: as it is decoded, as it is stacked, in single precision, and normalized. */
const PIXEL_BYTES = 3 * (1 + 1 + 4 + 4);

/** How an image enters the network, as every request may choose. */
export interface InputOptions {
  /** Absent: the model's own for classifying. */
  readonly fit?: Fit | undefined;
  /** Pixels of the short side; absent: the model's input size. */
  readonly size?: number | undefined;
  readonly scales: readonly number[];
  /** Also run the mirrored image, and average. */
  readonly flip: boolean;
  /** Cut an input beyond the pixel limit into tiles, for a dense view. */
  readonly tiles?: boolean | undefined;
}

/** What a question wants from the passes of an image, and in which view. */
export interface PassRequest {
  readonly model: CompiledModel;
  /** The view for an input of this size. May throw OUTPUT_UNSUPPORTED. */
  readonly viewFor: (input: Size) => View;
  readonly input: InputOptions;
  /** For a dense view: class selectors, see classes.ts. */
  readonly classes?: readonly number[];
  /** Ask several passes for every class, so that none must be run again; up to MAX_EVERY_CLASS_VALUES. */
  readonly everyClass?: boolean;
  /** For a dense view: the maps that are made of the passes. */
  readonly maps?: {
    /** Maps in the answer, of each image. */
    readonly answered: number;
    /** Maps that exist at the same time while the answer is made. */
    readonly made: number;
    /** The most classes that passes may be run again for. */
    readonly again: number;
  };
  /** Takes the cost of the image's maps; absent: nothing limits their sum. */
  readonly account?: MapAccount;
  /** Pays for the image's passes; absent: nobody does. */
  readonly share?: Share | undefined;
  readonly checkHeader?: HeaderCheck | undefined;
}

/** Refuses an image on its header, for what is to be made of its answer. Throws ServiceError. */
export type HeaderCheck = (header: ImageHeader) => void;

/** The passes of one image. Plain data. */
export interface ImagePlan {
  readonly header: ImageHeader;
  /** For each scale the image as it is, then mirrored if asked for. */
  readonly passes: readonly PassPlan[];
  /** The class selectors of each pass; undefined if the view takes none. */
  readonly classes: readonly number[] | undefined;
  /** How many classes the model has. */
  readonly classCount: number;
  readonly interpolation: Interpolation;
  /** The model's name, for metrics. */
  readonly model: string;
}

/** One way to look at an image: at a scale, as it is or mirrored. */
export interface PassPlan {
  /** Passes that differ only in the mirror share this object. */
  readonly input: InputPlan;
  readonly mirrored: boolean;
  /** The tiles of an input that is too large for one run. */
  readonly tiling: Tiling | undefined;
  /** The id is enough once the session is open. */
  readonly session: SessionSpec;
  /** Multiply-adds of one run: of the whole input, or of one tile. All tiles have the same size. */
  readonly cost: number;
  /** Processor time to decode what goes into one run, in milliseconds of one core. An upper estimate. */
  readonly decodeMs: number;
  /** Memory that such a run takes at its peak for decoding, pixels and activations. An upper estimate. */
  readonly bytes: number;
  /** The class map of the pass, of all tiles together; undefined if the view gives none. */
  readonly map: PlannedMap | undefined;
}

export interface PlannedMap extends Size {
  readonly geometry: ViewGeometry;
}

export interface PlanLimits {
  /** Pixels of one photo. */
  readonly maxPixels: number;
  /** Pixels of one network input. */
  readonly maxInputPixels: number;
  /** See planInput. Default: 1. */
  readonly inputStep?: number;
  /** Bytes that one run may take. Default: any number. */
  readonly memoryBytes?: number;
}

/** Plan every pass, and add its maps to the request's account. Throws IMAGE_TOO_LARGE or OUTPUT_UNSUPPORTED. */
export function planImage(header: ImageHeader, request: PassRequest, limits: PlanLimits): ImagePlan {
  const { manifest, labels } = request.model;
  request.checkHeader?.(header);
  const passes = request.input.scales.flatMap((scale) => {
    const planned = planAt(scale, header, request, limits);
    return mirrorings(request.input).map((mirrored) => ({ ...planned, mirrored }));
  });
  const classes = classesFor(passes, request);
  request.account?.add(mapCost(passes, request, classes?.length ?? 0));
  return {
    header,
    passes,
    classes,
    classCount: labels.length,
    interpolation: manifest.input.interpolation,
    model: manifest.name,
  };
}

/** For each pass of one scale, whether it mirrors its input. */
export function mirrorings({ flip }: InputOptions): boolean[] {
  return flip ? [false, true] : [false];
}

/** Passes that one image needs. */
export function passesPerImage(input: InputOptions): number {
  return input.scales.length * mirrorings(input).length;
}

function classesFor(
  passes: readonly PassPlan[],
  { model: { labels }, classes, everyClass = false }: PassRequest,
): readonly number[] | undefined {
  if (!everyClass || passes.length === 1) return classes;
  const cells = passes.reduce((sum, { map }) => sum + (map === undefined ? 0 : map.width * map.height), 0);
  return cells * labels.length <= MAX_EVERY_CLASS_VALUES ? Array.from(labels, (_, index) => index) : classes;
}

/** Bytes that a pass brings for each cell besides the maps of classes: log-normalizer, best class and its logit. */
const BYTES_PER_CELL = 12;

/** What the maps of an image take: what its passes bring, once or twice, and what is made of that. */
export function mapCost(
  passes: readonly PassPlan[],
  { maps = { answered: 0, made: 0, again: 0 }, everyClass = false, model: { labels } }: PassRequest,
  brought: number,
): MapCost {
  const cellsOf = ({ map }: PassPlan): number => (map === undefined ? 0 : map.width * map.height);
  const cells = passes.reduce((sum, pass) => sum + cellsOf(pass), 0);
  const finest = passes.reduce((most, pass) => Math.max(most, cellsOf(pass)), 0);
  // A single run cannot lack what it was asked for, nor passes that were asked for everything.
  const isOneRun = passes.length === 1 && passes[0]!.tiling === undefined;
  const again = isOneRun || (everyClass && brought === labels.length) ? 0 : maps.again;
  const bytesPerCell = (classes: number): number => (classes === 0 ? 0 : BYTES_PER_CELL + 4 * classes);
  return {
    values: finest * maps.answered,
    bytes: cells * (bytesPerCell(brought) + bytesPerCell(again)) + finest * 4 * maps.made,
  };
}

function planAt(
  scale: number,
  header: ImageHeader,
  request: PassRequest,
  limits: PlanLimits,
): Omit<PassPlan, 'mirrored'> {
  const { model, viewFor } = request;
  const preset = model.manifest.input;
  const { fit = preset.fit ?? 'crop', tiles } = request.input;
  const side = sideOf(request);
  const resize = Math.round((side * preset.resize) / shortSide(preset.size));
  const planFor = (factor: number): InputPlan =>
    planInput(header, {
      fit,
      size: ofSameShape(preset.size, side),
      resize,
      scale: factor,
      step: stepOf(model, limits),
    });
  const input = planFor(scale);
  if (header.format === 'pixels' && fit === 'native' && scale === 1) checkUnrounded(input, stepOf(model, limits));
  const view = viewFor(input.crop);
  view.check(input.crop);
  const tiling = tiles ? tilingOf(input, view, limits) : undefined;
  const explain = (limit: number): ParameterError => {
    const pixelsAt = (factor: number): number => inputPixels(planFor(factor));
    const [parameter, asked, steps] = fit !== 'native' && scale === 1 ? ['size', side, side] : ['scale', scale, 100];
    const largest = largestScale(scale, limit, steps, pixelsAt) * (parameter === 'size' ? side : 1);
    return { parameter, detail: `${parameter}=${asked} is too large for this image; at most ${largest}` };
  };
  if (tiling === undefined) checkPixels(input, view, limits, explain);
  const map = isDense(view) ? { ...view.mapSize(input.crop), geometry: view.geometry } : undefined;
  checkClassMap({ map, tiling }, model.labels.length, request.classes?.length ?? 0);
  const { session } = view;
  const size = tiling?.tiles[0]?.pixels ?? input.crop;
  const decode = inputDecodeCost(header, input);
  const bytes = decode.bytes + PIXEL_BYTES * size.width * size.height + view.peakBytes(size);
  checkMemory(bytes, limits);
  return { input, tiling, session, cost: view.multiplyAdds(size), decodeMs: 1000 * decode.seconds, bytes, map };
}

/** Multiply-adds of passes, all tiles included. */
export function multiplyAddsOf(passes: readonly PassPlan[]): number {
  return passes.reduce((sum, { cost, tiling }) => sum + cost * (tiling?.tiles.length ?? 1), 0);
}

/** Pixels that are the input already are not resampled for a net that takes no such sides. Throws OUTPUT_UNSUPPORTED. */
function checkUnrounded({ photo: { width, height }, crop }: InputPlan, step: number): void {
  if (width === crop.width && height === crop.height) return;
  throw new ServiceError(
    'OUTPUT_UNSUPPORTED',
    `The model takes sides of multiples of ${step}, not ${width}×${height} pixels.`,
  );
}

/** Sides that depend on the photo are rounded to multiples of this: for the device, and for nets that take no others. */
function stepOf({ dense }: CompiledModel, { inputStep = 1 }: PlanLimits): number {
  return Math.max(inputStep, 'view' in dense ? dense.sizeStep : 1);
}

/**
 * Pixels of the short side: as asked for, or the model's own. A model may have another size for maps of the whole
 * photo.
 */
function sideOf({ model: { manifest }, input: { fit, size }, classes }: PassRequest): number {
  const ofMaps = classes !== undefined && fit === 'whole' ? manifest.maps?.size : undefined;
  return size ?? ofMaps ?? shortSide(manifest.input.size);
}

/** The tiles of an input that is too large for one run; undefined if none are needed or possible. */
function tilingOf(plan: InputPlan, view: View, limits: PlanLimits): Tiling | undefined {
  const limit = Math.floor(limits.maxInputPixels / view.pixelCost);
  const pixels = inputPixels(plan);
  if (pixels <= limit || pixels > limits.maxPixels || !isDense(view) || view.tiling === undefined) return undefined;
  const mapSize = (input: Size): Size => view.mapSize(input);
  const tiling = planTiles(plan.crop, { ...view.tiling, mapSize }, limit);
  return tiling !== undefined && tiling.tiles.length <= MAX_TILES ? tiling : undefined;
}

/**
 * The limit holds for the coarsest view. A finer view costs more per pixel, and its limit is lower by the same factor.
 */
function checkPixels(
  plan: InputPlan,
  { pixelCost }: View,
  limits: PlanLimits,
  explain: (limit: number) => ParameterError,
): void {
  const limit = Math.floor(limits.maxInputPixels / pixelCost);
  const pixels = inputPixels(plan);
  if (pixels <= limit) return;
  const { width, height } = plan.crop;
  const [why, orElse] =
    pixelCost === 1
      ? ['', '']
      : [` at ${pixelCost.toFixed(1)} times the cost per pixel`, ', or a coarser outputStride'];
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `The network's input would be ${width}×${height} pixels; the limit is ${limit} pixels${why}. Ask for a smaller size or scale${orElse}.`,
    { errors: [explain(limit)], limit: { name: 'input_pixels', value: limit, needed: pixels } },
  );
}

/**
 * A run makes the map of every class and returns those asked for; only the returned maps of tiles are joined. Throws
 * IMAGE_TOO_LARGE if that is more than MAX_MAP_VALUES.
 */
export function checkClassMap(
  { map, tiling }: Pick<PassPlan, 'map' | 'tiling'>,
  classCount: number,
  askedFor: number,
): void {
  if (map === undefined) return;
  const { width, height } = map;
  const channels = tiling === undefined ? Math.max(classCount, askedFor) : askedFor;
  const values = width * height * channels;
  if (values <= MAX_MAP_VALUES) return;
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `The class map would be ${width}×${height} cells of ${channels} classes; the limit is ${MAX_MAP_VALUES} values. Ask for a coarser outputStride, a smaller size or scale, or fewer classes.`,
    {
      errors: [{ parameter: 'outputStride', detail: `gives ${values} values` }],
      limit: { name: 'run_values', value: MAX_MAP_VALUES, needed: values },
    },
  );
}

/** Throws IMAGE_TOO_LARGE if one run takes more memory than all runs together may. */
function checkMemory(bytes: number, { memoryBytes = Infinity }: PlanLimits): void {
  if (bytes <= memoryBytes) return;
  const megabytes = (count: number): string => `${Math.ceil(count / 2 ** 20)} MB`;
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `A run would take about ${megabytes(bytes)} of memory; the limit is ${megabytes(memoryBytes)}. Ask for a smaller size or scale, or a coarser outputStride.`,
    {
      errors: [{ parameter: 'size', detail: `takes about ${megabytes(bytes)}` }],
      limit: { name: 'run_bytes', value: memoryBytes, needed: Math.ceil(bytes) },
    },
  );
}

/** The largest multiple of 1/steps whose input has at most `limit` pixels. The input of `scale` must have more. */
function largestScale(scale: number, limit: number, steps: number, pixelsAt: (scale: number) => number): number {
  // Sides are whole pixels, so the estimate is slightly off: start above it, and go down to the first that fits.
  let count = Math.ceil(1.02 * steps * scale * Math.sqrt(limit / pixelsAt(scale)));
  while (count > 0 && pixelsAt(count / steps) > limit) count -= 1;
  return count / steps;
}

function isDense(view: View): view is DenseView {
  return 'mapSize' in view;
}
