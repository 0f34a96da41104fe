/** Traces of `fullconv serve` as operators start it: by variables alone. */
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startCollector } from '../support/collector.js';
import { startServer } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

let models: string;
let cat: Buffer;
beforeAll(async () => {
  models = await writeTinyModels();
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => rm(models, { recursive: true }));

const classify = async (url: string): Promise<string> => {
  const response = await fetch(`${url}/v1/classify?model=tiny-resnet`, { method: 'POST', body: new Uint8Array(cat) });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
  return response.headers.get('traceresponse')?.split('-')[1] ?? '';
};

it('a server that is stopped sends the spans that wait', async () => {
  const collector = await startCollector();
  const server = await startServer({ FULLCONV_MODELS: models, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const traceId = await classify(server.url);
  expect(await server.stop()).toBe(0);
  const spans = await collector.trace(traceId);
  expect(spans.map(({ name }) => name).sort()).toEqual(['POST /v1/classify', 'body', 'decode', 'queue', 'run']);
  expect(spans[0]!.resource).toMatchObject({ 'service.name': 'fullconv' });
  expect(server.log.find((line) => line.includes('"msg":"ready"'))).toContain(`"traces":"${collector.url}"`);
  await collector.close();
});

it('a server whose collector never answers is stopped all the same, with code 0', async () => {
  const hanging = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(hanging, 'listening');
  const { port } = hanging.address() as AddressInfo;
  const server = await startServer({
    FULLCONV_MODELS: models,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_BSP_SCHEDULE_DELAY: '10',
  });
  await classify(server.url);
  expect(await server.stop()).toBe(0);
  expect(server.log.join('\n')).toContain('the last spans of traces could not be sent in time');
  hanging.close();
});

it('a server without traces says nothing of them', async () => {
  const server = await startServer({ FULLCONV_MODELS: models, OTEL_TRACES_EXPORTER: 'none' });
  expect(await classify(server.url)).toBe('');
  expect(await (await fetch(`${server.url}/metrics`)).text()).not.toContain('fullconv_trace_spans_total');
  expect(await server.stop()).toBe(0);
});

it('a variable that cannot work ends the start with a sentence', async () => {
  const started = startServer({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });
  await expect(started).rejects.toThrow(/^ended with 2: .*OTEL_EXPORTER_OTLP_PROTOCOL=grpc: it takes http\/protobuf/);
});
