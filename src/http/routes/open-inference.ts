/**
 * The Open Inference Protocol, version 2: what clients of Triton, KServe and OpenVINO Model Server speak. Its errors are
 * `{"error": "…"}` (problem.ts), and its description is the protocol's own, so that these routes are not part of the API's.
 *
 * Sources: kserve/open-inference-protocol, inference_rest.md; Triton's extensions (docs/protocol). Where they differ, what
 * the clients expect decides.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../errors.js';
import { imageOrPixels } from '../../inference/image-or-pixels.js';
import { VERSION } from '../../version.js';
import type { Audience } from '../access.js';
import { audited } from '../audit.js';
import { clientAddress, holderOf } from '../client-address.js';
import { withBody } from '../image-bodies.js';
import { imagesOf } from '../open-inference/image-tensor.js';
import { checkClassification, checkOutputs, chosen, inferMaps, inferScores } from '../open-inference/infer.js';
import { HEADER_LENGTH, headerLength, readInferBody, type InferRequest } from '../open-inference/infer-body.js';
import { mapsParameters, scoresParameters, urgencyOf } from '../open-inference/infer-parameters.js';
import { sendOutputs } from '../open-inference/output-tensors.js';
import { readSmallJson } from '../open-inference/small-json.js';
import {
  configOf,
  findModel,
  findReadyModel,
  metadataOf,
  outputsOf,
  servedModels,
  type ModelAddress,
  type ReadyModel,
  type Served,
} from '../open-inference/served-models.js';
import { describeStatistics } from '../open-inference/statistics.js';
import type { RouteParts } from '../parts.js';
import { askerOf, describeModel, holdImages, limitPasses, longestWaitMs, requestContext } from '../request.js';
import type { Route } from '../route.js';
import { pixelSize } from '../../maps/input-plan.js';

const EXTENSIONS = [
  'classification',
  'model_configuration',
  'model_repository',
  'model_repository(unload_dependents)',
  'schedule_policy',
  'statistics',
  'binary_tensor_data',
  'parameters',
];

type Handle = (parts: RouteParts, request: FastifyRequest, reply: FastifyReply) => unknown;

type Add = (path: string, handle: Handle) => Route;

const get =
  (audience: Audience): Add =>
  (path, handle) => ({ method: 'GET', path, audience, handle });
const post =
  (audience: Audience): Add =>
  (path, handle) => ({ method: 'POST', path, audience, handle });

/** The routes of a model, with and without its version. */
function ofModel(add: Add, what: string, handle: Handle): Route[] {
  return ['/v2/models/:name', '/v2/models/:name/versions/:version(^\\d+$)'].map((path) => add(path + what, handle));
}

const addressOf = ({ params }: FastifyRequest): ModelAddress => params as ModelAddress;

function live({ isAlive }: RouteParts, _request: FastifyRequest, reply: FastifyReply) {
  if (!isAlive()) return reply.code(503).send({ error: 'every worker has been given up', live: false });
  return { live: true };
}

function ready({ isReady }: RouteParts, _request: FastifyRequest, reply: FastifyReply) {
  if (!isReady()) return reply.code(503).send({ error: 'the server is not ready', ready: false });
  return { ready: true, live: true };
}

function server() {
  return { name: 'fullconv', version: VERSION, extensions: EXTENSIONS };
}

function modelReady({ registry }: RouteParts, request: FastifyRequest) {
  const { name } = findReadyModel(registry, addressOf(request));
  return { name, ready: true };
}

function metadata({ registry }: RouteParts, request: FastifyRequest) {
  return metadataOf(findReadyModel(registry, addressOf(request)));
}

function configuration({ registry, config }: RouteParts, request: FastifyRequest) {
  return configOf(findReadyModel(registry, addressOf(request)), config);
}

function statisticsOf(parts: RouteParts, { name, asked, entry }: Served): object[] {
  const { model } = entry;
  if (model === undefined) return [];
  const { name: base, version } = model.manifest;
  return [describeStatistics(name, version, parts.inference.statistics.of(base, version, asked))];
}

function statistics(parts: RouteParts, request: FastifyRequest) {
  return { model_stats: statisticsOf(parts, findModel(parts.registry, addressOf(request))) };
}

function allStatistics(parts: RouteParts) {
  return { model_stats: servedModels(parts.registry).flatMap((served) => statisticsOf(parts, served)) };
}

/** Raw requests are one tensor: no JSON, and all outputs as bytes. */
const RAW: InferRequest = { id: undefined, parameters: {}, inputs: [], outputs: undefined, binaryOutput: true };

async function infer(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const { access, config, registry, inference, bodies, metrics, ending } = parts;
  const arrived = performance.now() - reply.elapsedTime;
  const client = holderOf(clientAddress(request.raw, config.trustedProxies));
  const served = findReadyModel(registry, addressOf(request));
  const askers = (priority: number) => askerOf({ priority }, client, reply.raw.socket, config);
  // Before its body is read: what is refused then costs next to nothing.
  inference.admission.checkWait(longestWaitMs({}, config), askers(0));
  const places = holdImages(access.callerOf(request.raw)?.quota);
  const reading = { bodies, metrics, limits: config, client, deadline: Infinity };
  const answering = withBody({ request, reply }, reading, async (body) => {
    const jsonLength = headerLength(request.headers[HEADER_LENGTH], body.length);
    const asked = jsonLength === 0 ? RAW : await readInferBody(body, jsonLength);
    checkOutputs(
      asked.outputs,
      outputsOf(served).map(({ name }) => name),
    );
    const images =
      jsonLength === 0
        ? [imageOrPixels('image-0', body, pixelSize(served.model.manifest.input.size))]
        : await imagesOf(asked.inputs, config.maxImages);
    checkClassification(asked.outputs, images.length, served.model.labels.length);
    const question = questionOf(served, asked);
    const { priority, deadlineMs } = urgencyOf(question.parameters);
    limitPasses(images.length * question.scales, config.maxImages);
    places.take(images.length);
    inference.admission.checkWait(longestWaitMs({ deadlineMs }, config), askers(priority));
    const context = requestContext(reply, {
      ...askers(priority),
      deadline: Math.min(arrived + (deadlineMs ?? Infinity), performance.now() + config.deadlineMs),
      ending,
      budget: access.budgetFor(request.raw),
    });
    const { manifest } = served.model;
    return registry.use(manifest.name, async (model) => {
      const outputs = await question.ask({ inference, model, images, context });
      describeModel(reply, model);
      const written = (await chosen(outputs, asked.outputs, model)).map(({ tensor, binary }) => ({
        tensor,
        binary: binary ?? asked.binaryOutput,
      }));
      const head = { model_name: served.name, model_version: model.manifest.version, id: asked.id };
      return sendOutputs(reply, head, written);
    });
  });
  return answering.finally(() => places.giveBack());
}

function questionOf({ asked }: ReadyModel, { parameters, outputs, binaryOutput }: InferRequest) {
  type Parts = Omit<Parameters<typeof inferScores>[0], 'parameters'>;
  if (asked === 'scores') {
    const parsed = scoresParameters(parameters);
    return { parameters: parsed, scales: 1, ask: (parts: Parts) => inferScores({ ...parts, parameters: parsed }) };
  }
  const parsed = mapsParameters(parameters);
  const isJson = (outputs ?? [{ name: 'map', binary: undefined }]).some(
    ({ name, binary }) => name === 'map' && !(binary ?? binaryOutput),
  );
  return {
    parameters: parsed,
    scales: parsed.scale.length,
    ask: (parts: Parts) => inferMaps({ ...parts, isJson, parameters: parsed }),
  };
}

/** The states of the protocol. */
const STATES = { loading: 'LOADING', ready: 'READY', unloaded: 'UNAVAILABLE', failed: 'UNAVAILABLE' } as const;

async function index(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const { ready: onlyReady = false } = await readSmallJson(parts, { request, reply }, ['ready']);
  if (typeof onlyReady !== 'boolean') {
    throw new ServiceError('INVALID_REQUEST', 'There is a wrong parameter.', {
      errors: [{ parameter: 'ready', detail: 'must be true or false' }],
    });
  }
  return servedModels(parts.registry)
    .filter(({ entry }) => !onlyReady || entry.model !== undefined)
    .map(({ name, entry: { state, reason = '', model } }) => ({
      name,
      ...(model !== undefined && { version: model.manifest.version }),
      state: STATES[state],
      reason,
    }));
}

async function load(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const { parameters = {} } = await readSmallJson(parts, { request, reply }, ['parameters']);
  const override = Object.keys(parameters as object)[0];
  if (override !== undefined) {
    throw new ServiceError(
      'INVALID_REQUEST',
      `failed to load: the parameter "${override}" is not supported; a model is what its folder says.`,
    );
  }
  const { name } = addressOf(request);
  const loading = audited(parts, request, { action: 'load', model: name }, () => parts.registry.load(name));
  const { state, reason = '' } = await loading;
  // A newer version that fails leaves the old one ready, with the reason.
  if (state !== 'ready' || reason !== '')
    throw new ServiceError('INVALID_REQUEST', `failed to load "${name}": ${reason}`);
  return reply.send();
}

async function unload(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  // unload_dependents: no model depends on another.
  await readSmallJson(parts, { request, reply }, ['parameters']);
  const { name } = addressOf(request);
  await audited(parts, request, { action: 'unload', model: name }, () => parts.registry.unload(name));
  return reply.send();
}

const refuse =
  (what: string): Handle =>
  () => {
    throw new ServiceError('NOT_IMPLEMENTED', `${what} is not supported.`);
  };

export const OPEN_INFERENCE_ROUTES: readonly Route[] = [
  { ...get('everybody')('/v2/health/live', live), isProbe: true },
  { ...get('everybody')('/v2/health/ready', ready), isProbe: true },
  get('models')('/v2', server),
  get('models')('/v2/', server),
  get('models')('/v2/models/stats', allStatistics),
  ...ofModel(get('models'), '', metadata),
  ...ofModel(get('models'), '/ready', modelReady),
  ...ofModel(get('models'), '/config', configuration),
  ...ofModel(get('models'), '/stats', statistics),
  ...ofModel(post('infer'), '/infer', infer),
  post('models')('/v2/repository/index', index),
  post('admin')('/v2/repository/models/:name/load', load),
  post('admin')('/v2/repository/models/:name/unload', unload),
  post('models')('/v2/repository/:repository/index', refuse('Choosing among repositories')),
  post('models')('/v2/repository/:repository/models/:name/load', refuse('Choosing among repositories')),
  post('models')('/v2/repository/:repository/models/:name/unload', refuse('Choosing among repositories')),
  ...['systemsharedmemory', 'cudasharedmemory'].flatMap((memory) => [
    get('models')(`/v2/${memory}/status`, refuse('Shared memory')),
    get('models')(`/v2/${memory}/region/:region/status`, refuse('Shared memory')),
    post('models')(`/v2/${memory}/unregister`, refuse('Shared memory')),
    post('models')(`/v2/${memory}/region/:region/register`, refuse('Shared memory')),
    post('models')(`/v2/${memory}/region/:region/unregister`, refuse('Shared memory')),
  ]),
];
