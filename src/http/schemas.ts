/** The bodies of answers, as zod schemas: fastify compiles serializers from them, the OpenAPI document repeats them. */
import { z } from 'zod';
import { problemSchema } from './problem.js';

const size = { width: z.number().int(), height: z.number().int() };

const modelReference = z.object({ name: z.string(), version: z.string(), digest: z.string() });

const timing = z
  .object({
    decodeMs: z.number().describe('Decoding and resizing, all images together'),
    queueMs: z.number().describe('Longest wait for a worker'),
    inferMs: z.number().describe('Runs of the batches the images were in'),
    batchSize: z.number().int().describe('Images in the largest of these batches'),
  })
  .meta({ id: 'Timing' });

const prediction = z
  .object({
    index: z.number().int(),
    id: z.string(),
    label: z.string(),
    probability: z.number().optional().describe('With scores=probability'),
    logit: z.number().optional().describe('With scores=logit'),
  })
  .meta({ id: 'Prediction' });

const input = z
  .object({ ...size, scale: z.number() })
  .describe("The network's input, in pixels, and the scale it was asked for with");

/** What each image's result begins with, or is replaced by. */
const imageResult = {
  name: z.string(),
  width: z.number().int().optional().describe('The upright photo, in pixels'),
  height: z.number().int().optional(),
  input: input.optional(),
  problem: problemSchema.optional().describe('In place of the rest, for an image that failed'),
};

export const classifyResponse = z
  .object({
    model: modelReference,
    results: z.array(
      z.object({
        ...imageResult,
        predictions: z.array(prediction).optional(),
      }),
    ),
    timing,
  })
  .meta({ id: 'Classification' });

const map = z.object({
  ...size,
  outputStride: z.number().describe('Input pixels between the centres of neighbouring cells'),
  offset: z
    .number()
    .describe(
      'Input pixels from the edge to where the first cell looks: the centre of its receptive field, as its trained kernels use it',
    ),
  receptiveField: z.number().describe('Input pixels a cell sees, along one side'),
});

const box = z
  .object({ x: z.number(), y: z.number(), width: z.number(), height: z.number() })
  .describe('In photo pixels');

export const segmentResponse = z
  .object({
    model: modelReference,
    results: z.array(
      z.object({
        ...imageResult,
        map: map.optional(),
        unlabelled: z.number().optional().describe('Share of the cells below minProbability'),
        classes: z
          .array(
            z.object({
              index: z.number().int(),
              id: z.string(),
              label: z.string(),
              color: z.string().describe('In image/png, as #rrggbb'),
              share: z.number().describe('Of the cells'),
              boxes: z.array(box).describe('One for each connected region, the largest first'),
              polygons: z
                .array(z.array(z.array(z.array(z.number()))))
                .optional()
                .describe(
                  'With shapes=polygons: the coordinates of a MultiPolygon in photo pixels, [outline, hole, …] each',
                ),
              rle: z
                .object({ size: z.array(z.number().int()).describe('[height, width]'), counts: z.string() })
                .optional()
                .describe("With shapes=rle: the pixels of the photo in COCO's compressed run lengths"),
            }),
          )
          .optional()
          .describe('The legend: the classes that win somewhere, by share'),
      }),
    ),
    timing,
  })
  .meta({ id: 'Segmentation' });

export const heatmapResponse = z
  .object({
    model: modelReference,
    scores: z.enum(['probability', 'logit', 'normalized']).describe('What all values of the answer are'),
    threshold: z
      .object({ value: z.number(), of: z.enum(['range', 'value']) })
      .describe("As asked for: a part of each map's range, or one of its values"),
    results: z.array(
      z.object({
        ...imageResult,
        map: map.optional(),
        classes: z
          .array(
            z.object({
              index: z.number().int().optional().describe('Absent for class=none'),
              id: z.string(),
              label: z.string(),
              normalizedFrom: z
                .object({ low: z.number(), high: z.number() })
                .optional()
                .describe('With scores=normalized: the raw scores that became 0 and 1'),
              peak: z.object({ x: z.number(), y: z.number(), value: z.number() }).describe('In photo pixels'),
              box: box
                .optional()
                .describe('In photo pixels: the region around the peak; absent where the peak is below the threshold'),
              level: z.number().describe('What the threshold comes to, in values of this map'),
              share: z.number().describe('Of the cells at or above the level'),
              regions: z
                .array(z.object({ box, share: z.number().describe('Of the cells') }))
                .describe('All connected regions at or above the level, the largest first'),
              mean: z.number().describe('Over all cells'),
              values: z.array(z.array(z.number())).describe('[h][w]'),
            }),
          )
          .optional(),
      }),
    ),
    timing,
  })
  .meta({ id: 'Heatmaps' });

export const modelSummary = z
  .object({
    name: z.string(),
    version: z.string().optional(),
    state: z.enum(['loading', 'ready', 'unloaded', 'failed']),
    reason: z.string().optional().describe('Why it is not ready'),
    default: z.boolean(),
    description: z.string().optional(),
    license: z.string().optional(),
    source: z.string().optional(),
    architecture: z.string().optional(),
    precision: z
      .enum(['fp32', 'fp16', 'int8'])
      .optional()
      .describe('What it computes in here; fp16 of a manifest is fp32 where the device has no half precision'),
    quantization: z
      .object({
        images: z.number().int().describe('That it was calibrated on'),
        agreement: z.number().describe('Part of them whose first class stayed the same'),
        logitError: z.number().describe('Mean difference of a logit, as a part of the mean absolute logit'),
      })
      .optional(),
    digest: z.string().optional().describe('sha256 over manifest, labels and weights'),
    parameters: z.number().int().optional(),
    multiplyAdds: z.number().int().optional().describe('For one image at the input size'),
    classes: z.number().int().optional(),
    input: z
      .object({
        size: z.number().int(),
        resize: z.number().int(),
        interpolation: z.string(),
        channels: z.string(),
        range: z.number(),
        mean: z.array(z.number()),
        std: z.array(z.number()),
      })
      .optional(),
    inputStep: z
      .number()
      .int()
      .optional()
      .describe('The long side of fit=whole and both of fit=native are rounded to multiples of this many pixels'),
    devices: z.array(z.string()).optional().describe('That it runs on, e.g. cuda:1'),
    provider: z.string().optional().describe('The execution provider of ONNX Runtime'),
    runCost: z
      .object({
        fixedMs: z.number().describe('Of a run, whatever is in it'),
        msPerGmac: z.number().describe('Of a GMAC: 10⁹ multiply-adds'),
        msPerGflop: z
          .number()
          .meta({ description: 'The old name of msPerGmac, gone in the next version', deprecated: true }),
      })
      .optional()
      .describe('Of the classifier on that device, fitted to its own runs; absent before the first'),
    outputStrides: z
      .array(z.number())
      .optional()
      .describe("Of its class maps, the net's own first; empty when the model has none"),
    maps: z
      .object({ size: z.number().int().optional(), scores: z.enum(['probability', 'logit', 'normalized']).optional() })
      .optional()
      .describe(
        'What its maps are made of where a request does not say: short side of the whole photo; what a picture shows',
      ),
    edges: z.array(z.enum(['valid', 'same'])).optional(),
    deviation: z
      .number()
      .optional()
      .describe('Of an imported net: how far its class map is from its file’s logits, as a part of the largest'),
    heatmapsUnavailable: z.string().optional().describe('Why the model has no class map'),
    offset: z.number().optional(),
    receptiveField: z.number().optional(),
    minimumSize: z.number().int().optional().describe('Smallest side of an input, in pixels: one window'),
  })
  .meta({ id: 'Model' });

export const modelDetail = modelSummary
  .extend({ labels: z.array(z.object({ id: z.string(), label: z.string() })).optional() })
  .meta({ id: 'ModelDetail' });

export const modelsResponse = z
  .object({
    device: z.object({
      names: z.array(z.string()).describe('What the models run on, e.g. cpu'),
      why: z.string().describe('Why that was chosen'),
    }),
    models: z.array(modelSummary),
  })
  .meta({ id: 'Models' });

/** The schema as fastify's serializer compiler wants it: JSON Schema draft 7, no references. */
export function serializerOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: 'draft-7', reused: 'inline', override: inlineIds });
  return json;
}

function inlineIds({ jsonSchema }: { jsonSchema: Record<string, unknown> }): void {
  delete jsonSchema['id'];
}
