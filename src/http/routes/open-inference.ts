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
import type { ImageInput } from '../../inference/infer.js';
import { VERSION } from '../../version.js';
import type { Audience } from '../access.js';
import { sendAnswer } from '../answer.js';
import type { KeyedQuestion } from '../answer-key.js';
import { answerOnce } from '../answer-once.js';
import { audited } from '../audit.js';
import { clientAddress, holderOf } from '../client-address.js';
import { withBody } from '../image-bodies.js';
import { imagesOf } from '../open-inference/image-tensor.js';
import { checkClassification, checkOutputs, chosen, inferMaps, inferScores } from '../open-inference/infer.js';
import { HEADER_LENGTH, headerLength, readInferBody, type InferRequest } from '../open-inference/infer-body.js';
import { mapsParameters, scoresParameters, urgencyOf, withoutProtocol } from '../open-inference/infer-parameters.js';
import { withId, writeOutputs } from '../open-inference/output-tensors.js';
import { readSmallJson } from '../open-inference/small-json.js';
import {
  configOf,
  findAvailableModel,
  findModel,
  metadataOf,
  OUTPUT_NAMES,
  servedModels,
  useModel,
  versionsOf,
  type ModelAddress,
  type ReadyModel,
  type Served,
} from '../open-inference/served-models.js';
import { describeStatistics } from '../open-inference/statistics.js';
import type { RouteParts } from '../parts.js';
import { announcedLength, WORTH_DISCARDING_BYTES } from '../receive-body.js';
import {
  askerOf,
  holdImages,
  limitPasses,
  longestWaitMs,
  modelHeaders,
  requestContext,
  waitForModel,
} from '../request.js';
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

/** A number, as the protocol has it, or a label of a version. */
const VERSION_RULE = '^\\d+$|^[A-Za-z][A-Za-z0-9._-]*$';

/** The routes of a model, with and without its version. */
function ofModel(add: Add, what: string, handle: Handle): Route[] {
  return ['/v2/models/:name', `/v2/models/:name/versions/:version(${VERSION_RULE})`].map((path) =>
    add(path + what, handle),
  );
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

/** A model that is loaded when it is asked for is ready: it answers. */
function modelReady({ registry }: RouteParts, request: FastifyRequest) {
  const { name } = findAvailableModel(registry, addressOf(request));
  return { name, ready: true };
}

/** Clients ask for these before they send images. */
function describe(
  parts: RouteParts,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  by: (ready: ReadyModel) => object,
): Promise<object> {
  const { config, registry, inference, ending } = parts;
  const client = holderOf(clientAddress(request.raw, config.trustedProxies));
  const context = requestContext(reply, {
    ...askerOf({ priority: 0 }, client, reply.raw.socket, config),
    deadline: performance.now() + config.deadlineMs,
    ending,
  });
  const wait = waitForModel(inference.admission, 1, context);
  return useModel(registry, addressOf(request), wait, (ready) => Promise.resolve(by(ready)));
}

function metadata(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const { registry } = parts;
  return describe(parts, { request, reply }, (ready) => metadataOf(ready, versionsOf(registry, ready)));
}

function configuration(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  return describe(parts, { request, reply }, (ready) => configOf(ready, parts.config));
}

function statisticsOf(parts: RouteParts, { name, asked, entry }: Served): object[] {
  const { model } = entry;
  if (model === undefined) return [];
  const { name: base, version } = model.manifest;
  return [describeStatistics(name, version, parts.inference.statistics.of(base, version, asked))];
}

/** Of the version that is named, or of all. */
function statistics(parts: RouteParts, request: FastifyRequest) {
  const address = addressOf(request);
  const served = findModel(parts.registry, address);
  const entries = address.version === undefined ? parts.registry.versions(served.entry.name) : [served.entry];
  return { model_stats: entries.flatMap((entry) => statisticsOf(parts, { ...served, entry })) };
}

function allStatistics(parts: RouteParts) {
  return { model_stats: servedModels(parts.registry).flatMap((served) => statisticsOf(parts, served)) };
}

/** Raw requests are one tensor: no JSON, and all outputs as bytes. */
const RAW: InferRequest = { id: undefined, parameters: {}, inputs: [], outputs: undefined, binaryOutput: true };

async function infer(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const { access, config, registry, inference, bodies, metrics, ending, cache, keyOf } = parts;
  const arrived = performance.now() - reply.elapsedTime;
  const client = holderOf(clientAddress(request.raw, config.trustedProxies));
  const served = findAvailableModel(registry, addressOf(request));
  const askers = (priority: number) => askerOf({ priority }, client, reply.raw.socket, config);
  // Before its body is read: what is refused then costs next to nothing.
  // A full server may have the answer (image-route.ts).
  const mayBeKept = cache.isOn && (announcedLength(request.raw) ?? Infinity) <= WORTH_DISCARDING_BYTES;
  const checkWait = (deadlineMs: number | undefined, priority: number): void =>
    inference.admission.checkWait(longestWaitMs({ deadlineMs }, config), askers(priority));
  if (!mayBeKept) checkWait(undefined, 0);
  const places = holdImages(access.callerOf(request.raw)?.quota);
  const reading = { bodies, metrics, limits: config, client, deadline: Infinity };
  const answering = withBody({ request, reply }, reading, async (body) => {
    const jsonLength = headerLength(request.headers[HEADER_LENGTH], body.length);
    const asked = jsonLength === 0 ? RAW : await readInferBody(body, jsonLength);
    checkOutputs(asked.outputs, OUTPUT_NAMES[served.asked]);
    const files = jsonLength === 0 ? undefined : await imagesOf(asked.inputs, config.maxImages);
    const count = files?.length ?? 1;
    const question = questionOf(served, asked);
    const { priority, deadlineMs } = urgencyOf(question.parameters);
    const mirrors = question.parameters.flip ? 2 : 1;
    limitPasses(count * question.scales, config.maxImages);
    places.take(count);
    if (!mayBeKept) checkWait(deadlineMs, priority);
    const context = requestContext(reply, {
      ...askers(priority),
      deadline: Math.min(arrived + (deadlineMs ?? Infinity), performance.now() + config.deadlineMs),
      ending,
      budget: access.budgetFor(request.raw),
    });
    const wait = waitForModel(inference.admission, count * question.scales * mirrors, context);
    const made = await useModel(registry, addressOf(request), wait, async (ready) => {
      const { name, asked: askedOf, model } = ready;
      checkClassification(asked.outputs, count, model.labels.length);
      const images = files ?? [imageOrPixels('image-0', body, pixelSize(model.manifest.input.size))];
      const head = { model_name: name, model_version: model.manifest.version };
      const answer = await answerOnce(
        parts,
        { model, asked: askedOf, context, key: () => keyOf(keyed(ready, asked, question, images)) },
        async () => {
          if (mayBeKept) checkWait(deadlineMs, priority);
          const outputs = await question.ask({ inference, model, images, context });
          const written = (await chosen(outputs, asked.outputs, model)).map(({ tensor, binary }) => ({
            tensor,
            binary: binary ?? asked.binaryOutput,
          }));
          const answer = await writeOutputs(head, written);
          return { ...answer, headers: { ...modelHeaders(model), ...answer.headers } };
        },
      );
      return withId(answer, head, asked.id);
    });
    return sendAnswer(reply, made);
  });
  return answering.finally(() => places.giveBack());
}

/** What decides the answer, but for the id of the request. */
function keyed(
  { name, asked, model }: ReadyModel,
  { outputs, binaryOutput }: InferRequest,
  { parameters }: ReturnType<typeof questionOf>,
  images: readonly ImageInput[],
): KeyedQuestion {
  const wanted = outputs ?? OUTPUT_NAMES[asked].map((name) => ({ name, binary: undefined, classification: undefined }));
  const forms = wanted.map(({ name, binary, classification }) => [
    name,
    binary ?? binaryOutput,
    classification ?? null,
  ]);
  return {
    route: `/v2/models/${name}/infer`,
    mediaType: 'application/octet-stream',
    model,
    parameters: { ...withoutProtocol(parameters), forms },
    images,
  };
}

function questionOf({ asked }: Served, { parameters, outputs, binaryOutput }: InferRequest) {
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
    .map(({ name, entry: { state, reason = '', version } }) => ({
      name,
      ...(version !== undefined && { version }),
      state: STATES[state],
      reason,
    }));
}

/** The parameters of a load or an unload. Throws INVALID_REQUEST. */
async function readParameters(
  parts: RouteParts,
  exchange: { readonly request: FastifyRequest; readonly reply: FastifyReply },
): Promise<object> {
  const { parameters = {} } = await readSmallJson(parts, exchange, ['parameters']);
  if (typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters)) return parameters;
  throw new ServiceError('INVALID_REQUEST', 'There is a wrong parameter.', {
    errors: [{ parameter: 'parameters', detail: 'must be an object' }],
  });
}

async function load(parts: RouteParts, request: FastifyRequest, reply: FastifyReply) {
  const override = Object.keys(await readParameters(parts, { request, reply }))[0];
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
  await readParameters(parts, { request, reply });
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
