/**
 * GET /v1/models and /v1/models/{name}: the models and what each can do. POST …/load and …/unload: administration, which is
 * audited.
 */
import { z } from 'zod';
import type { RunCost } from '../../batching/run-cost.js';
import { deviceName } from '../../device.js';
import { EDGES } from '../../maps/edges.js';
import { pixelSize } from '../../maps/input-plan.js';
import { MAP_KINDS } from '../../maps/map-kinds.js';
import { ACTIVATIONS, MAP_SCORES } from '../../maps/scores.js';
import { OUTPUTS } from '../../models/networks/network.js';
import { usualView } from '../../models/compile.js';
import type { DenseViews } from '../../models/dense-views.js';
import { PRECISIONS } from '../../models/manifest.js';
import type { ModelEntry } from '../../models/registry.js';
import { meaningsOf, wordsOf } from '../../vocabulary.js';
import { audited } from '../audit.js';
import type { RouteParts } from '../parts.js';
import { json, route } from '../route.js';

const modelSummary = z
  .object({
    name: z.string(),
    version: z.string().optional(),
    versionLabels: z.array(z.string()).optional().describe('Other names of this version'),
    state: z.enum(['loading', 'ready', 'unloaded', 'failed']),
    reason: z.string().optional().describe('Why it is not ready'),
    memoryBytes: z
      .number()
      .int()
      .optional()
      .describe('What it takes while it is loaded: the bytes of its weights, for each open session and copy'),
    default: z.boolean(),
    description: z.string().optional(),
    license: z.string().optional(),
    source: z.string().optional(),
    architecture: z.string().optional(),
    precision: z
      .enum(PRECISIONS)
      .optional()
      .describe('The precision in use; a half precision that the device does not have becomes the one it has, or fp32'),
    engine: z.string().optional().describe('What computes it'),
    quantization: z
      .object({
        images: z.number().int().describe('Number of images that it was calibrated on'),
        agreement: z.number().describe('Fraction of them whose first class stayed the same'),
        logitError: z.number().describe('Mean difference of a logit, as a fraction of the mean absolute logit'),
      })
      .optional(),
    digest: z.string().optional().describe('sha256 over manifest, labels and weights'),
    parameters: z.number().int().optional(),
    multiplyAdds: z.number().int().optional().describe('For one image at the input size'),
    classes: z.number().int().optional(),
    input: z
      .object({
        size: z
          .union([z.number().int(), z.array(z.number().int()).length(2)])
          .describe('The side of a square, or [height, width]'),
        fit: z
          .string()
          .optional()
          .describe('How a photo becomes the input where the request does not say; absent: crop'),
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
    devices: z.array(z.string()).optional().describe('The devices that it runs on, e.g. cuda:1'),
    provider: z.string().optional().describe('The execution provider of ONNX Runtime'),
    runCost: z
      .object({
        fixedMs: z.number().describe('Per run, whatever is in it'),
        msPerGmac: z.number().describe('Per GMAC: 10⁹ multiply-adds'),
        msPerGflop: z
          .number()
          .meta({ description: 'The old name of msPerGmac, removed in the next version', deprecated: true }),
      })
      .optional()
      .describe(
        'The cost of a run of the classifier on that device, fitted to its own runs; absent before the first run',
      ),
    output: z
      .enum(wordsOf(OUTPUTS))
      .optional()
      .describe(`What the net's own numbers are: ${meaningsOf(OUTPUTS)}`),
    probabilities: z
      .enum(wordsOf(ACTIVATIONS))
      .optional()
      .describe(`What makes probabilities of its scores: ${meaningsOf(ACTIVATIONS)}`),
    temperature: z
      .number()
      .optional()
      .describe(
        'Probabilities are those of logits divided by it, so that they say how often answers are right; absent: 1',
      ),
    outputStrides: z
      .array(z.number())
      .optional()
      .describe("The output strides of its class maps, the net's own first; empty if the model has no class maps"),
    maps: z
      .object({
        size: z.number().int().optional(),
        map: z.enum(wordsOf(MAP_KINDS)).optional(),
        scores: z.enum(wordsOf(MAP_SCORES)).optional(),
      })
      .optional()
      .describe(
        'Defaults of its maps: the short side of the whole photo, what a cell is, and the scores that a picture shows',
      ),
    edges: z.array(z.enum(wordsOf(EDGES))).optional(),
    mapKinds: z
      .array(z.enum(wordsOf(MAP_KINDS)))
      .optional()
      .describe('What its cells can be, see the parameter map'),
    deviation: z
      .number()
      .optional()
      .describe('For an imported net: how far its class map is from its file’s logits, as a fraction of the largest'),
    heatmapsUnavailable: z.string().optional().describe('Why the model has no class map'),
    offset: z.number().optional(),
    receptiveField: z.number().optional(),
    minimumSize: z.number().int().optional().describe('Smallest side of an input, in pixels: one window'),
  })
  .meta({ id: 'Model' });

const modelDetail = modelSummary
  .extend({ labels: z.array(z.object({ id: z.string(), label: z.string() })).optional() })
  .meta({ id: 'ModelDetail' });

const modelsResponse = z
  .object({
    device: z.object({
      names: z.array(z.string()).describe('The devices that the models run on, e.g. cpu'),
      why: z.string().describe('Why that was chosen'),
    }),
    models: z.array(modelSummary),
  })
  .meta({ id: 'Models' });

export const listModels = route({
  method: 'GET',
  path: '/v1/models',
  audience: 'models',
  revalidated: true,
  operationId: 'listModels',
  summary: 'The models and what each can do',
  answers: { 200: json(modelsResponse) },
  answer: (parts) => ({
    device: { names: parts.device.devices.map(deviceName), why: parts.device.why },
    models: parts.registry.list().map((entry) => describeEntry(entry, parts)),
  }),
});

const versionQuery = z.strictObject({
  version: z.string().min(1).optional().describe('A version, by its number or by one of its labels'),
});

export const getModel = route({
  method: 'GET',
  path: '/v1/models/:name',
  audience: 'models',
  revalidated: true,
  operationId: 'getModel',
  summary: 'One version of a model, with its labels; the one that answers, if none is named',
  query: versionQuery,
  answers: { 200: json(modelDetail) },
  errors: ['INVALID_REQUEST', 'MODEL_NOT_FOUND'],
  answer(parts, { params, query: { version } }) {
    const entry = parts.registry.entry(params.name, version);
    return { ...describeEntry(entry, parts), labels: entry.model?.labels };
  },
});

export const loadModel = route({
  method: 'POST',
  path: '/v1/models/:name/load',
  audience: 'admin',
  operationId: 'loadModel',
  summary: 'Load or reload a model from its folder: one version, or all that there are',
  query: versionQuery,
  answers: { 200: json(modelDetail) },
  errors: ['INVALID_REQUEST', 'MODEL_NOT_FOUND'],
  answer: async (parts, { request, params: { name }, query: { version } }) =>
    describeEntry(
      await audited(parts, request, { action: 'load', model: name, version }, () => parts.registry.load(name, version)),
      parts,
    ),
});

export const unloadModel = route({
  method: 'POST',
  path: '/v1/models/:name/unload',
  audience: 'admin',
  operationId: 'unloadModel',
  summary: 'Finish the work in flight and close the model: one version, or all',
  query: versionQuery,
  answers: { 200: json(modelDetail) },
  errors: ['INVALID_REQUEST', 'MODEL_NOT_FOUND'],
  answer: async (parts, { request, params: { name }, query: { version } }) =>
    describeEntry(
      await audited(parts, request, { action: 'unload', model: name, version }, () =>
        parts.registry.unload(name, version),
      ),
      parts,
    ),
});

/** The parts of the server that an entry's description needs. */
type Surroundings = Pick<RouteParts, 'registry' | 'device' | 'inputStep' | 'runCosts'>;

/** A version of a model as the API shows it. Of one that is not loaded there is little to say. */
function describeEntry(entry: ModelEntry, parts: Surroundings) {
  const { name, model, folder: _, limit: __, ...known } = entry;
  const { registry, device, inputStep, runCosts } = parts;
  const isAnswering = name === registry.defaultName && registry.entry(name).folder === entry.folder;
  const base = { name, ...known, default: isAnswering };
  if (model === undefined) return base;
  const { manifest, dense } = model;
  return {
    ...base,
    version: manifest.version,
    description: manifest.description,
    license: manifest.license,
    source: manifest.source,
    architecture: manifest.architecture,
    precision: model.precision,
    engine: model.engine,
    quantization: manifest.quantization,
    digest: model.digest,
    parameters: model.parameters,
    multiplyAdds: model.classifier.multiplyAdds(pixelSize(manifest.input.size)),
    classes: model.labels.length,
    output: model.output,
    probabilities: model.conversion.activation,
    temperature: manifest.temperature,
    input: manifest.input,
    maps: manifest.maps,
    inputStep: Math.max(inputStep, 'view' in dense ? dense.sizeStep : 1),
    devices: device.devices.map(deviceName),
    provider: device.devices[0]?.kind,
    runCost: describeRunCost(runCosts().get(usualView(model).session.id)),
    ...('view' in dense
      ? describeDense(dense)
      : { outputStrides: [], edges: [], heatmapsUnavailable: dense.unavailable }),
    deviation: model.deviation,
  };
}

/** `msPerGflop` is the old name of `msPerGmac`: for one version both are there. */
function describeRunCost(cost: RunCost | undefined) {
  return cost === undefined ? undefined : { ...cost, msPerGflop: cost.msPerGmac };
}

/** The maps that a model has. Offset and receptive field are those of the net's own output stride and edge=valid. */
function describeDense(dense: DenseViews) {
  const { offset, receptiveField } = dense.view().geometry;
  const { kinds, outputStrides, edges, minimumSize } = dense;
  return { mapKinds: kinds, outputStrides, edges, offset, receptiveField, minimumSize };
}
