/**
 * The zod schemas that the bodies of several routes share. Fastify's serializers are compiled from them, and the
 * OpenAPI document repeats them.
 */
import { z } from 'zod';
import { PRECISIONS } from '../models/manifest.js';
import { MAP_KINDS } from '../maps/map-kinds.js';
import { meaningsOf, wordsOf } from '../vocabulary.js';
import { problemSchema } from './problem.js';

const size = { width: z.number().int(), height: z.number().int() };

const modelReference = z.object({
  name: z.string(),
  version: z.string(),
  digest: z.string(),
  precision: z.enum(PRECISIONS).describe('What it was computed in'),
  engine: z.string().describe('What computed it'),
});

const timing = z
  .object({
    decodeMs: z.number().describe('Decoding and resizing, all images together'),
    queueMs: z.number().describe('Longest wait for a decoder and a worker'),
    inferMs: z.number().describe('Runs of the batches the images were in'),
    batchSize: z.number().int().describe('Images in the largest of these batches'),
  })
  .meta({ id: 'Timing' });

const input = z
  .object({ ...size, scale: z.number() })
  .describe("The network's input, in pixels, and the scale asked for");

/** The first fields of each image's result, or the problem in its place. */
const imageResult = {
  name: z.string(),
  width: z.number().int().optional().describe('The upright photo, in pixels'),
  height: z.number().int().optional(),
  input: input.optional(),
  problem: problemSchema.optional().describe('In place of the rest, if the image failed'),
};

/**
 * An answer about images: `result` has the further fields of each image's result, `ofAll` those of the whole answer.
 */
export function imagesAnswer(result: z.ZodRawShape, ofAll: z.ZodRawShape = {}): z.ZodObject {
  return z.object({
    model: modelReference,
    ...ofAll,
    results: z.array(z.object({ ...imageResult, ...result })),
    timing,
  });
}

export const map = z.object({
  kind: z.enum(wordsOf(MAP_KINDS)).describe(`What a cell is. ${meaningsOf(MAP_KINDS)}`),
  ...size,
  outputStride: z.number().describe('Input pixels between the centres of neighbouring cells'),
  offset: z
    .number()
    .describe(
      'Input pixels from the edge to where the first cell looks: the centre of its receptive field, as its trained kernels use it',
    ),
  receptiveField: z.number().describe('Input pixels a cell sees, along one side'),
});

export const box = z
  .object({ x: z.number(), y: z.number(), width: z.number(), height: z.number() })
  .describe('In photo pixels');

/** The schema as fastify's serializer compiler wants it: JSON Schema draft 7, no references. */
export function serializerOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: 'draft-7', reused: 'inline', override: inlineIds });
  return json;
}

function inlineIds({ jsonSchema }: { jsonSchema: Record<string, unknown> }): void {
  delete jsonSchema['id'];
}
