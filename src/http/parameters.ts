/**
 * Query parameters: zod schemas that validate and document at once (openapi.ts reads them), and the parser that turns a
 * failure into INVALID_REQUEST naming each wrong parameter and what it takes.
 */
import { z } from 'zod';
import { ServiceError } from '../errors.js';
import { COLORMAP_NAMES } from '../inference/colormap.js';

const flag = z.preprocess(
  (value) => (value === '' || value === '1' ? 'true' : value === '0' ? 'false' : value),
  z.enum(['true', 'false']).transform((value) => value === 'true'),
);

/** A list given as `a,b`, as a repeated parameter, or both. */
const list = <T extends z.ZodType>(item: T, maximum: number) =>
  z.preprocess(
    (value) =>
      value === undefined
        ? undefined
        : [value].flat().flatMap((part) => (typeof part === 'string' ? part.split(',') : part)),
    z.array(item).min(1).max(maximum),
  );

/** A list by repetition only: a class's label may contain a comma. */
const repeated = <T extends z.ZodType>(item: T, maximum: number) =>
  z.preprocess((value) => (value === undefined ? undefined : [value].flat()), z.array(item).min(1).max(maximum));

const common = {
  model: z.string().min(1).optional().describe("A name from /v1/models; absent: the server's default model"),
  size: z.coerce
    .number()
    .int()
    .min(1)
    .max(16384)
    .optional()
    .describe("Pixels of the short side; absent: the model's input size"),
  scale: list(z.coerce.number().min(0.05).max(20), 16)
    .default([1])
    .describe('One or several multipliers of the size, e.g. scale=1,1.5,2'),
  flip: flag.default(false).describe('Also average over the mirrored image'),
  scores: z.enum(['probability', 'logit']).default('probability').describe('Softmax over classes, or raw scores'),
  priority: z.coerce.number().int().min(-100).max(100).default(0).describe('Higher goes first'),
  deadlineMs: z.coerce
    .number()
    .int()
    .min(1)
    .max(3_600_000)
    .optional()
    .describe("Longest wait; at most the server's own"),
};

const fit = z.enum(['crop', 'whole', 'native', 'stretch']);
const FIT_ABOUT =
  "crop: short side to the model's evaluation size, centre crop; whole: aspect kept, short side = size; native: the image's own pixels; stretch: to size × size";

export const classifyParameters = z.strictObject({
  ...common,
  fit: fit.default('crop').describe(FIT_ABOUT),
  topK: z.coerce.number().int().min(1).default(5).describe('How many classes; at most the number the model has'),
});

export const heatmapParameters = z.strictObject({
  ...common,
  fit: fit.default('whole').describe(FIT_ABOUT),
  class: repeated(z.string().min(1), 32)
    .default(['top'])
    .describe("Index, id or label; repeatable. top: the image's own best class"),
  outputStride: z.coerce.number().int().min(1).optional().describe('Input pixels between cells; what the model offers'),
  edge: z.enum(['valid', 'same']).default('valid').describe('valid: exact sliding window'),
  render: z.enum(['overlay', 'heat', 'gray16']).default('overlay').describe('For image/png'),
  colormap: z.enum(COLORMAP_NAMES).default('turbo').describe('For image/png'),
  alpha: z.coerce.number().min(0).max(1).default(0.5).describe('Opacity of the map over the photo, for render=overlay'),
  interpolation: z
    .enum(['nearest', 'bilinear', 'bicubic'])
    .default('bilinear')
    .describe('Between cells, for image/png'),
  range: z
    .enum(['absolute', 'minmax'])
    .optional()
    .describe("Colours span 0–1 or the map's own extremes; absent: absolute for probabilities, minmax for logits"),
});

export type ClassifyParameters = z.output<typeof classifyParameters>;
export type HeatmapParameters = z.output<typeof heatmapParameters>;

/** Parse a query string. Throws INVALID_REQUEST with one entry for each wrong parameter. */
export function parseParameters<T>(schema: z.ZodObject & z.ZodType<T>, query: unknown): T {
  const result = schema.safeParse(query);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          parameter: key,
          detail: `is not a parameter here; there are ${Object.keys(schema.shape).join(', ')}`,
        }))
      : [{ parameter: issue.path.map(String)[0] ?? '', detail: issue.message }],
  );
  const names = errors.map((error) => error.parameter).join(', ');
  throw new ServiceError('INVALID_REQUEST', `Wrong parameters: ${names}.`, { errors });
}
