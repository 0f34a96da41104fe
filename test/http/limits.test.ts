/** A refusal for a limit names it: the limit's value, and what the request needs. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { chunked, head, rawClient } from '../support/raw-client.js';

const MAX_BYTES = 4_000_000;
const MAX_BODIES_BYTES = 5_000_000;

let app: TestApp;
let url: string;
let cat: Buffer;
beforeAll(async () => {
  app = await startTestApp({
    FULLCONV_MAX_BYTES: String(MAX_BYTES),
    FULLCONV_MAX_BODIES_BYTES: String(MAX_BODIES_BYTES),
    FULLCONV_MAX_QUEUE: '20',
    FULLCONV_MAX_IMAGES: '16',
    FULLCONV_MAX_INPUT_PIXELS: '4000000',
    FULLCONV_MAX_PIXELS: '9000000',
    FULLCONV_MEMORY_MB: '100',
  });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => app.close());

interface Limit {
  name: string;
  value: number;
  needed?: number;
}
interface Refused {
  code: string;
  status: number;
  limit?: Limit;
  results?: { problem?: { limit?: Limit } }[];
}

async function refusalOf(path: string, payload: Buffer | string = cat, headers: Record<string, string> = {}) {
  const response = await app.http.inject({ method: 'POST', url: `/v1/${path}`, payload, headers });
  return response.json<Refused>();
}
const JSON_TYPE = { 'content-type': 'application/json' };
const jsonOf = (...images: Buffer[]): string =>
  JSON.stringify({ images: images.map((image) => ({ base64: image.toString('base64') })) });
const flat = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: 'red' } })
    .png()
    .toBuffer();

describe('a limit of the body', () => {
  it('of its bytes', async () => {
    expect(await refusalOf('classify', Buffer.alloc(MAX_BYTES + 5))).toMatchObject({
      status: 413,
      limit: { name: 'body_bytes', value: MAX_BYTES, needed: MAX_BYTES + 5 },
    });
  });

  it('of its bytes, where nobody has said how many come: the least that is known', async () => {
    const client = await rawClient(url);
    const pieces = chunked(Array.from({ length: 5 }, () => Buffer.alloc(1_000_000)));
    await client.send(head('POST /v1/classify', { 'Transfer-Encoding': 'chunked' }), ...pieces);
    const [, needed] = /"limit":{"name":"body_bytes","value":4000000,"needed":(\d+)}/.exec(await client.ended())!;
    expect(Number(needed)).toBeGreaterThan(MAX_BYTES);
    expect(Number(needed)).toBeLessThanOrEqual(5_000_000);
  });

  it('of the bytes of all bodies', async () => {
    const slow = await rawClient(url);
    await slow.send(head('POST /v1/classify', { 'Content-Length': 3_900_000 }), Buffer.alloc(3_800_000));
    const metrics = async (): Promise<string> => (await app.http.inject('/metrics')).body;
    // All of it: less would leave room for the next one, which its address may not have.
    await expect.poll(metrics).toMatch(/^fullconv_bodies_bytes [34]\d{6}$/m);
    const refusal = await refusalOf('classify', Buffer.alloc(3_000_000));
    slow.socket.destroy();
    // The next tests have the same address.
    await expect.poll(metrics).toMatch(/^fullconv_bodies_bytes 0$/m);
    expect(refusal).toMatchObject({ status: 503, limit: { name: 'bodies_bytes', value: MAX_BODIES_BYTES } });
    expect(refusal.limit!.needed).toBeGreaterThan(MAX_BODIES_BYTES);
  });

  it('of the extensions of a chunk', async () => {
    const client = await rawClient(url);
    const chunk = `1;${'x'.repeat(20_000)}\r\na\r\n`;
    await client.send(head('POST /v1/classify', { 'Transfer-Encoding': 'chunked' }), chunk);
    expect(await client.ended()).toMatch(/^HTTP\/1.1 413 [^]*"limit":{"name":"chunk_extension_bytes","value":16384}/);
  });

  it('of its images, in a form and in JSON, and with scales', async () => {
    const part = '--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nx\r\n';
    const form = { 'content-type': 'multipart/form-data; boundary=b' };
    const images = { status: 400, limit: { name: 'images', value: 16, needed: 17 } };
    expect(await refusalOf('classify', `${part.repeat(17)}--b--`, form)).toMatchObject(images);
    expect(await refusalOf('classify', jsonOf(...Array<Buffer>(17).fill(cat.subarray(0, 9))), JSON_TYPE)).toMatchObject(
      images,
    );
    const three = jsonOf(cat.subarray(0, 9), cat.subarray(0, 9), cat.subarray(0, 9));
    expect(await refusalOf('classify?scale=1,1,1,1,1,1', three, JSON_TYPE)).toMatchObject({
      status: 400,
      limit: { name: 'images', value: 16, needed: 18 },
    });
  });

  it('of its fields beside the images', async () => {
    const field = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n';
    const form = { 'content-type': 'multipart/form-data; boundary=b' };
    expect(await refusalOf('classify', `${field.repeat(257)}--b--`, form)).toMatchObject({
      status: 400,
      limit: { name: 'form_fields', value: 256, needed: 257 },
    });
  });
});

describe('a limit of what is asked', () => {
  it.each<[string, number, Limit]>([
    ['classify?scale=1,1,1,1,1,1,1,1,1,1,1&flip', 400, { name: 'passes', value: 20, needed: 22 }],
    ['heatmap?size=3000', 422, { name: 'input_pixels', value: 4_000_000, needed: 3000 * 4510 }],
    // A finer view costs more for each pixel, so that its inputs have fewer.
    ['heatmap?size=1600&outputStride=4', 422, { name: 'input_pixels', value: expect.any(Number) as number }],
    ['heatmap?width=5000', 422, { name: 'picture_pixels', value: 9_000_000, needed: 5000 * 3326 }],
  ])('%s', async (path, status, limit) => {
    const refusal = await refusalOf(path);
    expect(refusal).toMatchObject({ status, limit });
    expect(refusal.limit!.needed).toBeGreaterThan(refusal.limit!.value);
  });

  it('the memory of a run', async () => {
    const refusal = await refusalOf('heatmap?size=1600&model=tiny-resnet');
    expect(refusal).toMatchObject({ status: 422, limit: { name: 'run_bytes', value: 100 * 2 ** 20 } });
    expect(refusal.limit!.needed).toBeGreaterThan(100 * 2 ** 20);
  });

  it('what drawing a picture takes, before anything runs', async () => {
    const dispatches = async (): Promise<string[]> =>
      (await app.http.inject('/metrics')).body
        .split('\n')
        .filter((line) => line.startsWith('fullconv_dispatches_total{'));
    const before = await dispatches();
    for (const path of ['heatmap?width=1500', 'segment?width=1500']) {
      const refusal = await refusalOf(path, cat, { accept: 'image/avif' });
      expect(refusal).toMatchObject({ status: 422, limit: { name: 'picture_bytes', value: 50 * 2 ** 20 } });
      expect(refusal.limit!.needed).toBeGreaterThan(50 * 2 ** 20);
    }
    expect(await dispatches()).toEqual(before);
    const small = await app.http.inject({
      ...{ method: 'POST', url: '/v1/heatmap?width=500', payload: cat, headers: { accept: 'image/avif' } },
    });
    expect(small.statusCode).toBe(200);
  });

  it('the side of a picture in its format', async () => {
    const long = await flat(100, 1);
    const response = await app.http.inject({
      method: 'POST',
      url: '/v1/segment?width=16384',
      headers: { accept: 'image/webp' },
      payload: long,
    });
    expect(response.json()).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      limit: { name: 'picture_side', value: 16_383, needed: 16_384 },
    });
  });
});

it('a limit of one image among many is in its own problem', async () => {
  const { results } = await refusalOf('classify', jsonOf(await flat(3001, 3000), await flat(30, 30)), JSON_TYPE);
  expect(results).toMatchObject([
    { problem: { code: 'IMAGE_TOO_LARGE', limit: { name: 'image_pixels', value: 9_000_000, needed: 9_003_000 } } },
    { predictions: expect.any(Array) as unknown },
  ]);
});

it('a refusal for another reason names none', async () => {
  expect(await refusalOf('classify?topK=0')).not.toHaveProperty('limit');
  expect(await refusalOf('classify', cat.subarray(0, 5000))).not.toHaveProperty('limit');
});
