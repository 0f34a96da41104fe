/**
 * Query parameters: zod schemas that validate and document at once (openapi.ts reads them), and the parser that turns a
 * failure into INVALID_REQUEST naming each wrong parameter and what it takes.
 */
import { z } from 'zod';
import { ServiceError, type ParameterError } from '../errors.js';
import { MAX_CLASSES } from '../classes/classes.js';
import { COLORMAP_NAMES } from '../maps/colormap.js';
import { DRAWINGS } from '../drawing/draw.js';
import { MAP_SCORES } from '../models/manifest.js';

/** A decimal number in a range, and nothing else: no exponent, no hexadecimal, no empty text. */
function number(minimum: number, maximum: number) {
  const error = `must be a number from ${minimum} to ${maximum}`;
  return decimal(z.number({ error }).min(minimum, { error }).max(maximum, { error }));
}

function integer(minimum: number, maximum: number) {
  const error = `must be a whole number from ${minimum} to ${maximum}`;
  return decimal(z.int({ error }).min(minimum, { error }).max(maximum, { error }));
}

function decimal<T extends z.ZodType<number>>(schema: T) {
  return z.preprocess(
    (value) => (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value),
    schema,
  );
}

const flag = z.preprocess(
  (value) => ['', '1', 'true'].includes(value as string) || (['0', 'false'].includes(value as string) ? false : value),
  z.boolean('must be true or false'),
);

/** A list given as `a,b`, as a repeated parameter, or both. */
function list<T extends z.ZodType>(item: T, maximum: number) {
  return z.preprocess(
    (value) => [value].flat().flatMap((part) => (typeof part === 'string' ? part.split(',') : part)),
    z.array(item).min(1).max(maximum),
  );
}

/** A list by repetition only: a class's label may contain a comma. */
function repeated<T extends z.ZodType>(item: T, maximum: number) {
  return z.preprocess((value) => [value].flat(), z.array(item).min(1).max(maximum));
}

const common = {
  model: z.string().min(1).optional().describe("A name from /v1/models; absent: the server's default model"),
  size: integer(1, 16384).optional().describe("Pixels of the short side; absent: the model's input size"),
  scale: list(number(0.05, 20), 16).default([1]).describe('One or several multipliers of the size, e.g. scale=1,1.5,2'),
  flip: flag.default(false).describe('Also average over the mirrored image'),
  scores: z.enum(['probability', 'logit']).default('probability').describe('Softmax over classes, or raw scores'),
  priority: integer(-100, 100).default(0).describe('Higher goes first'),
  deadlineMs: integer(1, 3_600_000).optional().describe("Longest wait; at most the server's own"),
};

const fit = z.enum(['crop', 'whole', 'native', 'stretch']);
const FIT_ABOUT =
  "crop: short side to the model's evaluation size, centre crop; whole: aspect kept, short side = size; native: the image's own pixels; stretch: to size × size";

export const classifyParameters = z.strictObject({
  ...common,
  fit: fit.default('crop').describe(FIT_ABOUT),
  topK: integer(1, 100_000).default(5).describe('How many classes; at most the number the model has'),
});

/** Of the routes that answer with maps. */
const maps = {
  ...common,
  size: common.size.describe(
    "Pixels of the short side; absent: the model's maps.size for fit=whole where it has one, else its input size",
  ),
  fit: fit.default('whole').describe(FIT_ABOUT),
  outputStride: integer(1, 1024)
    .optional()
    .describe("Input pixels between cells, one of the model's outputStrides; absent: the net's own, the coarsest"),
  edge: z
    .enum(['valid', 'same'])
    .default('valid')
    .describe('valid: exact sliding window; same: zero-padded head, the map covers the image'),
  tiles: flag
    .default(false)
    .describe(
      'Cut an input beyond the pixel limit into overlapping tiles, at most 16; their maps are those of the whole',
    ),
  alpha: number(0, 1).default(0.5).describe('Opacity of the map over the photo, for render=overlay and sheet'),
  width: integer(1, 16384).optional().describe("Of the picture, in pixels, aspect kept; absent: the photo's own"),
};

export const segmentParameters = z.strictObject({
  ...maps,
  shapes: list(z.enum(['polygons', 'rle']), 2)
    .optional()
    .describe("For application/json: each class's area as polygons, as COCO's run lengths, or both"),
  minProbability: number(0, 1).default(0).describe('Positions whose best class is less probable stay unlabelled'),
  render: z.enum(['palette', 'overlay']).default('palette').describe('For pictures: the labels alone, or blended'),
});

/** Of a sheet, where none are asked for. */
const SHEET_CLASSES = 3;

export const heatmapParameters = z
  .strictObject({
    ...maps,
    scores: z
      .enum(MAP_SCORES)
      .optional()
      .describe(
        "Softmax over classes at each position, raw scores, or raw scores scaled to 0–1 by the extremes of each map; absent: probability, and for pictures what the model's maps.scores says",
      ),
    class: repeated(z.string().min(1), MAX_CLASSES)
      .optional()
      .describe(
        "Index, id or label; repeatable. top: the image's own best class; none: the best class of each position. Absent: top",
      ),
    top: integer(1, MAX_CLASSES)
      .optional()
      .describe("The image's own best classes, as many as this, after those of class"),
    threshold: number(-1000, 1000)
      .default(0.5)
      .describe('What is above it belongs to the boxes, regions and share of a class'),
    thresholdOf: z
      .enum(['range', 'value'])
      .default('range')
      .describe("Whether threshold is a part (0–1) of the map's own range, or one of its values"),
    render: z
      .enum(DRAWINGS)
      .default('overlay')
      .describe(
        'For pictures. overlay: colours over the photo; heat: colours alone; contours: lines at each fifth of the range; gray16: 16-bit values, PNG only; sheet: the photo and a captioned map of each class, by default of the three best',
      ),
    colormap: z.enum(COLORMAP_NAMES).default('inferno').describe('For pictures'),
    opacity: z
      .enum(['constant', 'value'])
      .default('constant')
      .describe(
        'For render=overlay and sheet: whether alpha holds everywhere, or for the highest values, and less below',
      ),
    legend: flag.default(false).describe('For overlay, heat and contours: the bar of colours with its values, below'),
    interpolation: z
      .enum(['nearest', 'bilinear', 'bicubic'])
      .optional()
      .describe('Between cells, for pictures; absent: bicubic for contours, else bilinear'),
    range: z
      .enum(['absolute', 'minmax'])
      .optional()
      .describe("Colours span 0–1 or the map's own extremes; absent: minmax for logits, else absolute"),
  })
  .refine(({ threshold, thresholdOf }) => thresholdOf === 'value' || (threshold >= 0 && threshold <= 1), {
    path: ['threshold'],
    error: 'must be a number from 0 to 1, a part of the range, unless thresholdOf is value',
  });

/** The classes of a request, and how many of the image's own best; of the answer at most MAX_CLASSES. */
export function classesAskedFor({ class: names, top, render }: z.output<typeof heatmapParameters>): {
  readonly names: readonly string[];
  readonly best: number;
} {
  const best = top ?? (render === 'sheet' && names === undefined ? SHEET_CLASSES : 0);
  return { names: names ?? (best === 0 ? ['top'] : []), best };
}

export type ClassifyParameters = z.output<typeof classifyParameters>;
export type SegmentParameters = z.output<typeof segmentParameters>;
export type HeatmapParameters = z.output<typeof heatmapParameters>;

/** Parse a query string. Throws INVALID_REQUEST with an entry for each wrong parameter. */
export function parseParameters<T extends z.ZodObject>(schema: T, query: unknown): z.output<T> {
  const result = schema.safeParse(query);
  if (result.success) return result.data;
  throw invalidRequest('There are wrong parameters.', result.error, schema);
}

/** Complaints in one answer: the first ones help, a thousand would be an answer larger than the request. */
const MAX_COMPLAINTS = 10;

/** A failed validation as INVALID_REQUEST: each complaint names the place and what it takes. */
export function invalidRequest(detail: string, { issues }: z.ZodError, schema: z.ZodObject): ServiceError {
  const complaints = issues.slice(0, MAX_COMPLAINTS).flatMap((issue): ParameterError[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.slice(0, MAX_COMPLAINTS).map((key) => ({
          parameter: key.slice(0, 100),
          detail: `is not known here; there are ${Object.keys(schema.shape).join(', ')}`,
        }))
      : [{ parameter: placeOf(issue.path), detail: issue.message }],
  );
  return new ServiceError('INVALID_REQUEST', detail, { errors: complaints.slice(0, MAX_COMPLAINTS) });
}

/** `images[2].base64`; of a list in a query, the parameter's name. */
function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, part, position) => {
    if (typeof part === 'number') return position === path.length - 1 ? place : `${place}[${part}]`;
    return place === '' ? String(part) : `${place}.${String(part)}`;
  }, '');
}
