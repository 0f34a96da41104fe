/** GET /v1/models and /v1/models/{name}: what can be asked. POST …/load and …/unload: administration, with a token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RunCost } from '../../batching/run-cost.js';
import type { Config } from '../../config.js';
import { deviceName } from '../../device.js';
import { ServiceError } from '../../errors.js';
import type { DenseViews } from '../../models/dense-views.js';
import type { ModelEntry } from '../../models/registry.js';
import type { HttpParts } from '../parts.js';
import { revalidated } from '../revalidation.js';
import { modelDetail, modelsResponse, serializerOf } from '../schemas.js';

interface ModelParams {
  Params: { name: string };
}

/** What of the server an entry is described by. */
type Surroundings = Pick<HttpParts, 'registry' | 'device' | 'inputStep' | 'runCosts'>;

export function modelRoutes(app: FastifyInstance, parts: HttpParts): void {
  const { config, registry, device } = parts;
  const listed = { schema: { response: { 200: serializerOf(modelsResponse) } }, onSend: revalidated };
  app.get('/v1/models', listed, () => ({
    device: { names: device.devices.map(deviceName), why: device.why },
    models: registry.list().map((entry) => describeEntry(entry, parts)),
  }));

  const response = { schema: { response: { 200: serializerOf(modelDetail) } } };
  app.get<ModelParams>('/v1/models/:name', { ...response, onSend: revalidated }, (request) => {
    const entry = registry.entry(request.params.name);
    return { ...describeEntry(entry, parts), labels: entry.model?.labels };
  });
  app.post<ModelParams>('/v1/models/:name/load', response, async (request) => {
    authorize(request, config);
    return describeEntry(await registry.load(request.params.name), parts);
  });
  app.post<ModelParams>('/v1/models/:name/unload', response, async (request) => {
    authorize(request, config);
    return describeEntry(await registry.unload(request.params.name), parts);
  });
}

/** Throws UNAUTHENTICATED unless the request carries the administrator's token. */
function authorize(request: FastifyRequest, { adminToken }: Config): void {
  if (adminToken === '') {
    throw new ServiceError(
      'UNAUTHENTICATED',
      'Administration is off: the server was started without FULLCONV_ADMIN_TOKEN.',
    );
  }
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${adminToken}`))) {
    throw new ServiceError('UNAUTHENTICATED', 'Administration needs "Authorization: Bearer …" with the right token.');
  }
}

/** A model's entry as the API shows it; what a model that is not loaded cannot tell is left out. */
function describeEntry({ name, state, reason, model }: ModelEntry, parts: Surroundings) {
  const { registry, device, inputStep, runCosts } = parts;
  const base = { name, state, ...(reason === undefined ? {} : { reason }), default: name === registry.defaultName };
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
    quantization: manifest.quantization,
    digest: model.digest,
    parameters: model.parameters,
    multiplyAdds: model.classifier.multiplyAdds({ width: manifest.input.size, height: manifest.input.size }),
    classes: model.labels.length,
    input: manifest.input,
    maps: manifest.maps,
    inputStep,
    devices: device.devices.map(deviceName),
    provider: device.devices[0]?.kind,
    runCost: describeRunCost(runCosts().get(model.classifier.session.id)),
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

/** What maps there are; offset and receptive field are those of the net's own output stride and edge=valid. */
function describeDense(dense: DenseViews) {
  const { offset, receptiveField } = dense.view().geometry;
  const { outputStrides, edges, minimumSize } = dense;
  return { outputStrides, edges, offset, receptiveField, minimumSize };
}
