/** The client against the real server over a port. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, ProblemError, queryString, UnreachableError, type Client } from '../../src/client/index.js';
import { startTestApp, type TestApp } from '../support/app.js';

let app: TestApp;
let client: Client;
let cat: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  app = await startTestApp();
  client = createClient(await app.http.listen({ port: 0 }));
  cat = new Uint8Array(await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url)));
});
afterAll(() => app.close());

describe('the client', () => {
  it('classifies one image, or many by name', async () => {
    const one = await client.classify(cat, { topK: 2, scale: [1, 2] });
    expect(one.results.map(({ predictions }) => predictions?.length)).toEqual([2, 2]);
    const blob = new Blob([cat]);
    const many = await client.classify([
      { name: 'a.png', image: cat },
      { name: 'b.png', image: blob },
    ]);
    expect(many.results.map(({ name }) => name)).toEqual(['a.png', 'b.png']);
    expect(many.results[1]!.predictions).toEqual(many.results[0]!.predictions);
  });

  it('asks for heatmaps and segmentations, as values and as files', async () => {
    const { results } = await client.heatmap(cat, { class: ['id-3', 'thing, number 4'] });
    expect(results[0]!.classes!.map(({ index }) => index)).toEqual([3, 4]);
    const start = async (file: Blob): Promise<string> => Buffer.from(await file.arrayBuffer()).toString('latin1', 1, 4);
    expect(await start(await client.heatmapFile(cat, 'image/png', { class: ['3'] }))).toBe('PNG');
    expect(await start(await client.heatmapFile(cat, 'application/x-npy'))).toBe('NUM');
    expect((await client.segment(cat)).results[0]!.classes!.length).toBeGreaterThan(0);
    expect(await start(await client.segmentFile(cat, 'image/png'))).toBe('PNG');
  });

  it('lists the models, and one with its labels', async () => {
    expect((await client.models()).map(({ name }) => name)).toEqual(['tiny-resnet', 'tiny-vgg']);
    expect((await client.model('tiny-vgg')).labels).toHaveLength(10);
  });

  it('throws what the server says is wrong, with every parameter', async () => {
    const failure = client.classify(cat, { topK: 0 });
    await expect(failure).rejects.toThrow(ProblemError);
    await expect(failure).rejects.toMatchObject({
      message: 'There are wrong parameters. topK: must be a whole number from 1 to 100000.',
      problem: { code: 'INVALID_REQUEST', status: 400 },
    });
  });

  it.each([
    ['7', 7],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    [undefined, undefined],
  ])('says when a server may be asked again: Retry-After %s', async (given, seconds) => {
    const full = createServer((_, response) => {
      response.writeHead(503, {
        'content-type': 'application/problem+json',
        ...(given === undefined ? {} : { 'retry-after': given }),
      });
      response.end(JSON.stringify({ status: 503, code: 'QUEUE_FULL', detail: 'full' }));
    }).listen(0, '127.0.0.1');
    await once(full, 'listening');
    const { port } = full.address() as AddressInfo;
    const refusal: unknown = await createClient(`http://127.0.0.1:${port}`)
      .models()
      .catch((error: unknown) => error);
    full.close();
    expect(refusal).toBeInstanceOf(ProblemError);
    expect((refusal as ProblemError).retryAfterS).toBe(seconds);
  });

  it('tells a server that is not there from one that is another’s, and both from a call that was given up', async () => {
    await expect(createClient('http://127.0.0.1:9').models()).rejects.toThrow(UnreachableError);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(client.classify(cat, {}, { signal })).rejects.toThrow('enough');
  });

  it.each([
    ['that breaks off', 200, 'application/json', '{"models":', 1000],
    ['that is another’s', 200, 'text/html', '<html>', undefined],
    ['that is no problem, but says so', 500, 'application/problem+json', 'oops', undefined],
    ['of a proxy', 502, 'text/html', '<html>', undefined],
  ])('throws UnreachableError for an answer %s', async (_, status, type, body, length) => {
    const server = createServer((_, reply) => {
      reply.writeHead(status, { 'content-type': type, ...(length && { 'content-length': length }) });
      reply.write(body, () => reply.destroy());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const stranger = createClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await expect(stranger.models()).rejects.toThrow(UnreachableError);
    server.close();
  });

  it('leaves out what is undefined, and repeats lists', () => {
    expect(queryString({})).toBe('');
    expect(queryString({ scale: [1, 1.5], size: undefined, class: ['a, b'] })).toBe('?scale=1&scale=1.5&class=a%2C+b');
  });
});
