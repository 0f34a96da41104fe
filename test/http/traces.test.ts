/** Traces, as a collector gets them: which spans there are, whose children, when, and what they say. */
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTracing } from '../../src/tracing/open-telemetry.js';
import type { Tracing } from '../../src/tracing/request-trace.js';
import { readTraceSettings } from '../../src/tracing/settings.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { startCollector, type CollectedSpan, type Collector } from '../support/collector.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

const quiet = { info: () => undefined, warn: () => undefined };

/** Tracing as a server has it with these variables. */
async function tracingOf(variables: Record<string, string>, log = quiet): Promise<Tracing> {
  const environment = { OTEL_BSP_SCHEDULE_DELAY: '10', ...variables };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  try {
    return await startTracing({ settings: readTraceSettings(environment)!, version: '1.2.3', log });
  } finally {
    vi.unstubAllEnvs();
  }
}

let collector: Collector;
let tracing: Tracing;
let app: TestApp;
let cat: Buffer;
let url: string;
const lines: Record<string, unknown>[] = [];
beforeAll(async () => {
  collector = await startCollector();
  tracing = await tracingOf({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'cats',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test,service.name=hidden',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=vision',
  });
  const { pino } = await import('pino');
  const write = (text: string): void => void lines.push(JSON.parse(text) as Record<string, unknown>);
  app = await startTestApp({}, undefined, { tracing, logger: pino({ level: 'info' }, { write }) });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(async () => {
  await app.close();
  await tracing.close();
  await collector.close();
});

const post = (url: string, headers: Record<string, string> = {}, payload: Buffer = cat) =>
  app.http.inject({ method: 'POST', url, payload, headers: { 'content-type': 'image/png', ...headers } });

/** The trace that an answer says it belongs to. */
async function traceOf(response: { headers: Record<string, unknown> }): Promise<readonly CollectedSpan[]> {
  const [, traceId] = /^00-([\da-f]{32})-[\da-f]{16}-01$/.exec(String(response.headers['traceresponse'])) ?? [];
  return collector.trace(traceId!);
}
const byName = (spans: readonly CollectedSpan[], name: string): CollectedSpan[] =>
  spans.filter((span) => span.name === name);
const names = (spans: readonly CollectedSpan[]): string[] => spans.map(({ name }) => name).sort();
const server = (spans: readonly CollectedSpan[]): CollectedSpan => spans.find(({ kind }) => kind === 2)!;

describe('a classification', () => {
  let spans: readonly CollectedSpan[];
  let request: CollectedSpan;
  beforeAll(async () => {
    const response = await post('/v1/classify?model=tiny-resnet&topK=2', {
      'user-agent': 'a test',
      'x-request-id': 'request-7',
    });
    expect(response.statusCode).toBe(200);
    spans = await traceOf(response);
    request = server(spans);
  });

  it('has a span for each of its phases, and no other', () => {
    expect(names(spans)).toEqual(['POST /v1/classify', 'body', 'decode', 'queue', 'run']);
  });

  it('is one trace: the request is the parent of the phases', () => {
    expect(request.parentId).toBe('');
    for (const span of spans) {
      expect(span.traceId).toBe(request.traceId);
      expect(span.flags & 1).toBe(1);
      if (span !== request) expect(span).toMatchObject({ parentId: request.spanId, kind: 1, status: 0 });
    }
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
  });

  it('is measured: the phases follow each other within the request', () => {
    const [body, queue, decode, run] = ['body', 'queue', 'decode', 'run'].map((name) => byName(spans, name)[0]!);
    const times = [request.start, body!.start, body!.end, queue!.start, queue!.end];
    times.push(decode!.start, decode!.end, run!.start, run!.end, request.end);
    expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
    expect(decode!.end).toBeGreaterThan(decode!.start);
    expect(run!.end).toBeGreaterThan(run!.start);
    expect(Number(request.start / 1_000_000n)).toBeGreaterThan(Date.now() - 3_600_000);
    expect(Number(request.end / 1_000_000n)).toBeLessThanOrEqual(Date.now());
  });

  it('says what was asked and how it ran', () => {
    expect(request.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/v1/classify',
      'http.response.status_code': 200,
      'url.path': '/v1/classify',
      'url.query': 'model=tiny-resnet&topK=2',
      'url.scheme': 'http',
      'server.address': 'localhost',
      'server.port': 80,
      'client.address': '127.0.0.1',
      'network.protocol.version': '1.1',
      'user_agent.original': 'a test',
      'fullconv.request.id': 'request-7',
      'fullconv.model': 'tiny-resnet',
      'fullconv.images': 1,
      'fullconv.gmacs': expect.any(Number) as number,
    });
    expect(byName(spans, 'run')[0]!.attributes).toMatchObject({
      'fullconv.model': 'tiny-resnet',
      'fullconv.view': 'classify',
      'fullconv.shape': expect.stringMatching(/^image \[\d+,\d+\]/) as string,
      'fullconv.batch.size': 1,
      'fullconv.batch.reason': expect.any(String) as string,
      'fullconv.worker': expect.any(Number) as number,
      'fullconv.device': 'cpu',
    });
  });

  it('comes from a service with the names of the variables', () => {
    expect(request.resource).toMatchObject({
      'service.name': 'cats',
      'service.version': '1.2.3',
      'service.instance.id': expect.stringMatching(/^[\da-f-]{36}$/) as string,
      'deployment.environment': 'test',
    });
    expect(collector.requests[0]).toMatchObject({ path: '/v1/traces', headers: { 'x-team': 'vision' } });
  });

  it('has its trace and its cost in its line of the log', () => {
    expect(lines.find(({ reqId, msg }) => reqId === 'request-7' && msg === 'request')).toMatchObject({
      trace_id: request.traceId,
      span_id: request.spanId,
      model: 'tiny-resnet',
      images: 1,
      gmacs: expect.any(Number) as number,
      client: '127.0.0.1',
    });
  });

  it('is an exemplar of its counts, in the format that has them', async () => {
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
    const open = await app.http.inject({ url: '/metrics', headers: { accept } });
    expect(open.headers['content-type']).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    expect(open.headers.vary).toBe('Accept');
    const of = (start: string): string[] =>
      open.body.split('\n').filter((line) => line.startsWith(start) && line.includes(`trace_id="${request.traceId}"`));
    expect(of('fullconv_request_duration_seconds_bucket{')).toHaveLength(1);
    for (const phase of ['decode', 'queue', 'infer']) {
      const lines = of('fullconv_phase_duration_seconds_bucket{').filter((line) => line.includes(`"${phase}"`));
      expect(lines, phase).toHaveLength(1);
    }
    const classic = await app.http.inject('/metrics');
    expect(classic.headers['content-type']).toMatch('text/plain');
    expect(classic.body).not.toContain('trace_id');
    expect(classic.body).toMatch(/^fullconv_dispatches_total\{/m);
  });
});

it('a picture has a span for its drawing', async () => {
  const response = await post('/v1/heatmap?model=tiny-resnet', { accept: 'image/png' });
  expect(response.statusCode).toBe(200);
  const spans = await traceOf(response);
  expect(names(spans)).toEqual(['POST /v1/heatmap', 'body', 'decode', 'queue', 'render', 'run']);
  const [render, run] = [byName(spans, 'render')[0]!, byName(spans, 'run')[0]!];
  expect(render.start).toBeGreaterThanOrEqual(run.end);
  expect(server(spans).end).toBeGreaterThanOrEqual(render.end);
});

it('an inference of the protocol has the same phases', async () => {
  const response = await post('/v2/models/tiny-resnet/infer', {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': '0',
  });
  expect(response.statusCode).toBe(200);
  const spans = await traceOf(response);
  expect(names(spans)).toEqual(['POST /v2/models/:name/infer', 'body', 'decode', 'queue', 'run']);
});

it('items that ran together say so', async () => {
  const image = { base64: cat.toString('base64') };
  const response = await app.http.inject({
    method: 'POST',
    url: '/v1/classify?model=tiny-resnet',
    payload: { images: Array.from({ length: 6 }, () => image) },
  });
  const spans = await traceOf(response);
  const runs = byName(spans, 'run');
  expect(runs).toHaveLength(6);
  const sizes = runs.map(({ attributes }) => Number(attributes['fullconv.batch.size']));
  expect(sizes.filter((size) => size === 1).length % 6).toBeLessThan(6);
  // Each run of n items is the span of n of them.
  for (const size of new Set(sizes)) expect(sizes.filter((other) => other === size).length % size).toBe(0);
  expect(server(spans).attributes['fullconv.images']).toBe(6);
});

it('a request of very many passes has a bounded number of spans, and says how many were left out', async () => {
  const image = { base64: cat.toString('base64') };
  const response = await app.http.inject({
    method: 'POST',
    url: '/v1/classify?model=tiny-resnet',
    payload: { images: Array.from({ length: 60 }, () => image) },
  });
  expect(response.statusCode).toBe(200);
  const spans = await traceOf(response);
  expect(spans).toHaveLength(129);
  expect(server(spans).attributes['fullconv.phases_left_out']).toBe(1 + 60 * 3 - 128);
});

describe('a failure', () => {
  it('of the image is an error of its decoding, and not of the server', async () => {
    // Within its first piece of pixels: all headers are whole.
    const broken = Buffer.from(cat).fill(0, 6000, 22_000);
    const response = await post('/v1/classify?model=tiny-resnet', {}, broken);
    expect(response.statusCode).toBe(422);
    const spans = await traceOf(response);
    expect(server(spans)).toMatchObject({
      status: 0,
      attributes: { 'http.response.status_code': 422, 'fullconv.code': 'IMAGE_UNDECODABLE' },
    });
    expect(byName(spans, 'decode')).toMatchObject([{ status: 2, message: 'IMAGE_UNDECODABLE' }]);
    expect(names(spans)).toEqual(['POST /v1/classify', 'body', 'decode', 'queue']);
  });

  it('of the server is an error with the code of its problem', async () => {
    const release = app.service.inference.admission.admit(256);
    const response = await post('/v1/classify?model=tiny-resnet');
    release();
    expect(response.statusCode).toBe(503);
    const spans = await traceOf(response);
    expect(server(spans)).toMatchObject({
      status: 2,
      message: 'QUEUE_FULL',
      attributes: { 'error.type': 'QUEUE_FULL', 'fullconv.code': 'QUEUE_FULL' },
    });
  });

  it('of a full server that refuses on sight is traced, too', async () => {
    const ask = () => fetch(`${url}/v1/classify?model=tiny-resnet`, { method: 'POST', body: new Uint8Array(cat) });
    expect((await ask()).status).toBe(200);
    const looks = vi.spyOn(app.service.inference.admission, 'whyFull');
    const release = app.service.inference.admission.admit(256);
    const response = await ask();
    release();
    expect(response.status).toBe(503);
    expect(looks.mock.results.map(({ value }) => value as unknown)).toEqual([expect.anything()]);
    looks.mockRestore();
    const spans = await traceOf({ headers: Object.fromEntries(response.headers) });
    expect(spans).toMatchObject([{ name: 'POST /v1/classify', status: 2, message: 'QUEUE_FULL' }]);
    expect(spans[0]!.attributes).toMatchObject({ 'http.response.status_code': 503, 'client.address': '127.0.0.1' });
  });

  it('of a client that leaves shows what it was waiting for', async () => {
    const trace = TRACE.replace('0af', '0cf');
    const leaving = new AbortController();
    const response = fetch(
      `${url}/v1/classify?model=tiny-resnet&size=256&scale=${Array.from({ length: 16 }, () => 8).join(',')}`,
      {
        method: 'POST',
        body: new Uint8Array(cat),
        headers: { traceparent: `00-${trace}-${PARENT}-01` },
        signal: leaving.signal,
      },
    ).catch(() => undefined);
    while (app.service.batcher.running === 0) await new Promise(setImmediate);
    leaving.abort();
    await response;
    const spans = await collector.trace(trace);
    expect(server(spans)).toMatchObject({ status: 0, attributes: { 'http.response.status_code': 499 } });
    expect(spans.filter(({ message }) => message === 'CANCELLED').length).toBeGreaterThan(0);
    expect(spans.every(({ message }) => message === '' || message === 'CANCELLED')).toBe(true);
  });

  it('of an address that is not there has no route', async () => {
    const response = await app.http.inject('/nothing?signature=hidden&url=https%3A%2F%2Fhidden&s%69g=hidden&x=1');
    const [span] = await traceOf(response);
    expect(span).toMatchObject({
      name: 'GET',
      attributes: { 'http.response.status_code': 404, 'url.path': '/nothing' },
    });
    expect(span!.attributes).not.toHaveProperty('http.route');
    expect(span!.attributes['url.query']).toBe('signature=REDACTED&url=REDACTED&s%69g=REDACTED&x=1');
    expect(JSON.stringify(lines)).not.toContain('hidden');
  });
});

describe('the context of a caller', () => {
  const asked = (headers: Record<string, string>) => post('/v1/classify?model=tiny-resnet', headers);

  it('is continued, with its state', async () => {
    const response = await asked({ traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1,other=2' });
    expect(response.headers['traceresponse']).toMatch(new RegExp(`^00-${TRACE}-`));
    const spans = await collector.trace(TRACE);
    expect(server(spans)).toMatchObject({ parentId: PARENT, traceState: 'vendor=1,other=2' });
    expect(names(spans)).toEqual(['POST /v1/classify', 'body', 'decode', 'queue', 'run']);
  });

  it('that is not sampled is left alone: nothing is made of it', async () => {
    const before = { ...tracing.spans };
    const response = await asked({ traceparent: `00-${TRACE}-${PARENT}-00` });
    expect(response.statusCode).toBe(200);
    expect(response.headers).not.toHaveProperty('traceresponse');
    expect(tracing.begin({ traceparent: `00-${TRACE}-${PARENT}-00` }, 0)).toBeUndefined();
    expect(tracing.spans.dropped).toBe(before.dropped);
  });

  it.each(
    Object.entries({
      'no trace': `00-${'0'.repeat(32)}-${PARENT}-01`,
      'no span': `00-${TRACE}-${'0'.repeat(16)}-01`,
      'the forbidden version': `ff-${TRACE}-${PARENT}-01`,
      'too much for its version': `00-${TRACE}-${PARENT}-01-more`,
      'capital letters': `00-${TRACE.toUpperCase()}-${PARENT}-01`,
      'no flags': `00-${TRACE}-${PARENT}`,
      'a long text': 'x'.repeat(10_000),
    }),
  )('that is malformed is ignored: %s', async (_, traceparent) => {
    const response = await asked({ traceparent, tracestate: 'a=1' });
    expect(response.statusCode).toBe(200);
    const spans = await traceOf(response);
    expect(server(spans)).toMatchObject({ parentId: '', traceState: '' });
    expect(server(spans).traceId).not.toBe(TRACE);
  });

  it('of a version to come is read as far as it is known', async () => {
    const trace = TRACE.replace('0af', '0bf');
    await asked({ traceparent: `01-${trace}-${PARENT}-01-more` });
    expect(server(await collector.trace(trace)).parentId).toBe(PARENT);
  });
});

it('probes and metrics are no requests worth a trace', async () => {
  for (const path of ['/livez', '/readyz', '/metrics', '/v2/health/live', '/v2/health/ready']) {
    expect((await app.http.inject(path)).headers, path).not.toHaveProperty('traceresponse');
  }
});

it('a part of the requests is sampled by the ids of their traces, where no caller says it', async () => {
  const some = await tracingOf({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
  });
  const begun = Array.from({ length: 4000 }, () => some.begin({}, 0)).filter((trace) => trace !== undefined);
  expect(begun.length).toBeGreaterThan(700);
  expect(begun.length).toBeLessThan(1300);
  await some.close();
});

it('no caller is believed with OTEL_PROPAGATORS=none', async () => {
  const deaf = await tracingOf({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_PROPAGATORS: 'none' });
  expect(deaf.begin({ traceparent: `00-${TRACE}-${PARENT}-01` }, 0)!.traceId).not.toBe(TRACE);
  await deaf.close();
});

const ENDED = { name: 'x', endMs: 1, attributes: {} };

describe('a collector', () => {
  it('that never answers costs spans, not requests: what waits is bounded, and the end does not wait for it', async () => {
    const sockets = new Set<Socket>();
    const hanging = createServer((socket) => sockets.add(socket.on('error', () => undefined))).listen(0, '127.0.0.1');
    await once(hanging, 'listening');
    const stuck = await tracingOf({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(hanging.address() as AddressInfo).port}`,
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10',
    });
    for (let index = 0; index < 1000; index++) stuck.begin({}, 0)?.end(ENDED);
    expect(stuck.spans).toEqual({ sent: 0, failed: 0, dropped: 900 });
    const began = performance.now();
    await stuck.close();
    expect(performance.now() - began).toBeLessThan(60_000);
    expect(stuck.begin({}, 0), 'after the end').toBeUndefined();
    sockets.forEach((socket) => socket.destroy());
    hanging.close();
  });

  it('that refuses is named in the log once, with the number of spans', async () => {
    const refusing = await startCollector(400);
    const said: unknown[] = [];
    const log = { info: () => undefined, warn: (...line: unknown[]) => void said.push(line) };
    const refused = await tracingOf(
      { OTEL_EXPORTER_OTLP_ENDPOINT: refusing.url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1' },
      log,
    );
    for (let index = 0; index < 20; index++) refused.begin({}, 0)!.end(ENDED);
    await refused.close();
    expect(refused.spans).toEqual({ sent: 0, failed: 20, dropped: 0 });
    expect(said).toEqual([
      [{ endpoint: refusing.url, lost: 1, why: '400 Bad Request' }, 'the collector did not take the spans of traces'],
    ]);
    await refusing.close();
  });
});

it('what becomes of spans is in the metrics', async () => {
  const { body } = await app.http.inject('/metrics');
  expect(body).toMatch(/^fullconv_trace_spans_total\{result="sent"\} [1-9]/m);
  expect(body).toMatch(/^fullconv_trace_spans_total\{result="dropped"\} 0$/m);
});
