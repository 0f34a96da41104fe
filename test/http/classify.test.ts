import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkTopK } from '../../src/http/routes/classify.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { jpegOfScans } from '../support/made-images.js';
import { TINY_CLASSES } from '../support/tiny-models.js';

const photoFile = (name: string): URL => new URL(`../fixtures/photos/${name}`, import.meta.url);

interface Answer {
  model: { name: string; version: string; digest: string };
  results: {
    name: string;
    width: number;
    height: number;
    input: { width: number; height: number; scale: number };
    predictions: { index: number; id: string; label: string; probability?: number; logit?: number }[];
    problem?: { code: string; status: number };
  }[];
  timing: Record<string, number>;
}

let app: TestApp;
let cat: Buffer;
let grace: Buffer;
beforeAll(async () => {
  app = await startTestApp();
  cat = await readFile(photoFile('chelsea.png'));
  grace = await readFile(photoFile('grace_hopper.jpg'));
});
afterAll(() => app.close());

async function classify(query: string, payload: Buffer, type = 'application/octet-stream') {
  return app.http.inject({ method: 'POST', url: `/v1/classify${query}`, headers: { 'content-type': type }, payload });
}
async function answerOf(query: string, payload: Buffer): Promise<Answer> {
  const response = await classify(query, payload);
  expect(response.statusCode, response.body).toBe(200);
  return response.json();
}

describe('POST /v1/classify', () => {
  it('answers with the top five classes of a raw image, whatever its content type', async () => {
    for (const type of ['image/png', 'application/octet-stream', 'application/x-www-form-urlencoded', 'text/plain']) {
      const response = await classify('', cat, type);
      expect(response.statusCode, response.body).toBe(200);
      const { model, results, timing } = response.json<Answer>();
      expect(model.name).toBe('tiny-resnet');
      expect(results).toHaveLength(1);
      expect(results[0]).toMatchObject({ width: 451, height: 300, input: { width: 64, height: 64, scale: 1 } });
      const probabilities = results[0]!.predictions.map(({ probability }) => probability!);
      expect(probabilities).toHaveLength(5);
      expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
      expect(timing['batchSize']).toBe(1);
    }
  });

  it('gives probabilities that sum to one and whose logarithms differ as the logits do', async () => {
    const { results } = await answerOf(`?topK=${TINY_CLASSES}`, cat);
    const { results: raw } = await answerOf(`?topK=${TINY_CLASSES}&scores=logit`, cat);
    const probabilities = results[0]!.predictions;
    expect(probabilities.reduce((sum, { probability }) => sum + probability!, 0)).toBeCloseTo(1, 5);
    const logits = raw[0]!.predictions;
    expect(logits.map(({ index }) => index)).toEqual(probabilities.map(({ index }) => index));
    expect(Math.log(probabilities[0]!.probability! / probabilities[1]!.probability!)).toBeCloseTo(
      logits[0]!.logit! - logits[1]!.logit!,
      3,
    );
  });

  it('answers one result for each image and scale, in order, equal to those of single requests', async () => {
    const form = new FormData();
    form.append('a', new Blob([new Uint8Array(cat)]), 'cat.png');
    form.append('b', new Blob([new Uint8Array(grace)]), 'grace.jpg');
    const encoded = new Response(form);
    const response = await app.http.inject({
      method: 'POST',
      url: '/v1/classify?scale=1,1.5&scores=logit&fit=whole',
      headers: { 'content-type': encoded.headers.get('content-type')! },
      payload: Buffer.from(await encoded.arrayBuffer()),
    });
    expect(response.statusCode, response.body).toBe(200);
    const { results } = response.json<Answer>();
    expect(results.map(({ name, input }) => `${name} ${input.scale}`)).toEqual([
      'cat.png 1',
      'cat.png 1.5',
      'grace.jpg 1',
      'grace.jpg 1.5',
    ]);
    const alone = await answerOf('?scale=1.5&scores=logit&fit=whole', grace);
    expect(results[3]!.input).toEqual(alone.results[0]!.input);
    const [together, single] = [results[3]!, alone.results[0]!].map(({ predictions }) => predictions);
    together!.forEach(({ index, logit }, rank) => {
      expect(index).toBe(single![rank]!.index);
      expect(logit!).toBeCloseTo(single![rank]!.logit!, 2);
    });
  });

  it('takes base64 in JSON', async () => {
    const payload = JSON.stringify({ images: [{ base64: cat.toString('base64'), name: 'cat' }] });
    const response = await classify('', Buffer.from(payload), 'application/json');
    expect(response.statusCode, response.body).toBe(200);
    expect(response.json<Answer>().results[0]!.name).toBe('cat');
  });

  it('fails a bad image among many alone', async () => {
    const images = [cat, Buffer.from('not an image'), grace].map((bytes) => ({ base64: bytes.toString('base64') }));
    const response = await classify('', Buffer.from(JSON.stringify({ images })), 'application/json');
    expect(response.statusCode, response.body).toBe(200);
    const { results } = response.json<Answer>();
    expect(results[1]!.problem).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE', status: 415 });
    expect(results[0]!.predictions).toHaveLength(5);
    expect(results[2]!.predictions).toHaveLength(5);
  });

  it('classifies beyond the native size with the convolutionalized head', async () => {
    const { results } = await answerOf('?model=tiny-vgg&fit=native', cat);
    expect(results[0]!.input).toMatchObject({ width: 451, height: 300 });
    const native = await answerOf('?model=tiny-vgg', cat);
    expect(native.results[0]!.input).toMatchObject({ width: 64, height: 64 });
  });

  it('averages with flip what the image and its mirror image give', async () => {
    const photo = await sharp(grace).resize(96, 96, { fit: 'fill' }).png().toBuffer();
    const mirrored = await sharp(photo).flop().toBuffer();
    const logitsOf = async (query: string, bytes: Buffer): Promise<Map<number, number>> => {
      const { results } = await answerOf(`?topK=${TINY_CLASSES}&scores=logit&fit=native${query}`, bytes);
      return new Map(results[0]!.predictions.map(({ index, logit }) => [index, logit!]));
    };
    const [plain, other, both] = await Promise.all([
      logitsOf('', photo),
      logitsOf('', mirrored),
      logitsOf('&flip', photo),
    ]);
    for (const [index, logit] of both) {
      const expected = (plain.get(index)! + other.get(index)!) / 2;
      expect(Math.abs(logit - expected)).toBeLessThan(1e-4 * Math.max(1, Math.abs(expected)));
    }
    expect(Math.abs(plain.get(0)! - other.get(0)!)).toBeGreaterThan(1e-3);
  });
});

describe('what is refused, and how', () => {
  it.each([
    ['?model=nothing', 404, 'MODEL_NOT_FOUND', 'model', /tiny-resnet/],
    ['?topK=0', 400, 'INVALID_REQUEST', 'topK', /1/],
    ['?topK=11', 400, 'INVALID_REQUEST', 'topK', /10/],
    ['?topk=3', 400, 'INVALID_REQUEST', 'topk', /topK/],
    ['?fit=diagonal', 400, 'INVALID_REQUEST', 'fit', /crop.*whole.*native.*stretch/],
    ['?scale=1,fast', 400, 'INVALID_REQUEST', 'scale', /number/],
    ['?scale=0', 400, 'INVALID_REQUEST', 'scale', /0.05/],
    ['?size=-3', 400, 'INVALID_REQUEST', 'size', /1/],
    ['?scores=percent', 400, 'INVALID_REQUEST', 'scores', /probability.*logit/],
    ['?model=tiny-vgg&size=20', 422, 'OUTPUT_UNSUPPORTED', 'size', /64/],
  ])('%s is %i %s naming the parameter', async (query, status, code, parameter, allowed) => {
    const response = await classify(query, cat);
    expect(response.statusCode, response.body).toBe(status);
    expect(response.headers['content-type']).toMatch('application/problem+json');
    const problem = response.json<{ code: string; status: number; errors: { parameter: string; detail: string }[] }>();
    expect(problem).toMatchObject({ code, status, errors: [{ parameter }] });
    expect(problem.errors[0]!.detail).toMatch(allowed);
  });

  it('an empty body, a body without images, broken JSON and broken base64 are INVALID_REQUEST', async () => {
    for (const [payload, type] of [
      ['', 'image/png'],
      ['{"images":[]}', 'application/json'],
      ['{"pictures":1}', 'application/json'],
      ['{', 'application/json'],
      ['{"images":[{"base64":"§§"}]}', 'application/json'],
    ] as const) {
      const response = await classify('', Buffer.from(payload), type);
      expect(response.statusCode, `${payload} ${response.body}`).toBe(400);
      expect(response.json()).toMatchObject({ code: 'INVALID_REQUEST' });
    }
  });

  it('an unknown address is a problem too, and every response carries a request id', async () => {
    const response = await app.http.inject({ url: '/v1/nothing', headers: { 'x-request-id': 'mine-1' } });
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ code: 'NOT_FOUND', instance: 'mine-1' });
    expect(response.headers['x-request-id']).toBe('mine-1');
    const unsafe = await app.http.inject({ url: '/livez', headers: { 'x-request-id': 'a b"c' } });
    expect(unsafe.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('limits', () => {
  it('refuses a body over the byte limit with 413 and a network input over the pixel limit with 422', async () => {
    const small = await startTestApp({ FULLCONV_MAX_BYTES: '100000', FULLCONV_MAX_INPUT_PIXELS: '5000' }, app.models);
    try {
      const post = (url: string, payload: Buffer) => small.http.inject({ method: 'POST', url, payload });
      expect((await post('/v1/classify', cat)).json()).toMatchObject({ code: 'BODY_TOO_LARGE', status: 413 });
      const large = await post('/v1/classify?scale=4', grace);
      expect(large.json()).toMatchObject({ code: 'IMAGE_TOO_LARGE', status: 422 });
      expect((await post('/v1/classify', grace)).statusCode).toBe(200);
    } finally {
      await small.close();
    }
  });

  it('refuses an image whose decode takes too long with 422, on its header', async () => {
    const scans = await app.http.inject({ method: 'POST', url: '/v1/classify', payload: jpegOfScans(80, 80, 5000) });
    expect(scans.json()).toMatchObject({ code: 'IMAGE_TOO_LARGE', status: 422 });
    expect(scans.body).toContain('5000 scans');
    const hasty = await startTestApp({ FULLCONV_MAX_DECODE_SECONDS: '0.001' }, app.models);
    try {
      const response = await hasty.http.inject({ method: 'POST', url: '/v1/classify', payload: grace });
      expect(response.json()).toMatchObject({ code: 'IMAGE_TOO_LARGE', status: 422 });
      expect(response.body).toMatch(/about 0\.0\d+ s.*the limit is 0\.001 s/);
    } finally {
      await hasty.close();
    }
  });
});

describe('an answer of many predictions', () => {
  it('is streamed, and says what short ones say', async () => {
    const large = await startTestApp({ FULLCONV_MAX_IMAGES: '250', FULLCONV_MAX_QUEUE: '250' });
    const images = await Promise.all(
      Array.from({ length: 210 }, async (_, i) => {
        const color = { r: i, g: (i * 7) % 256, b: 255 - i };
        const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: color } })
          .png()
          .toBuffer();
        return { name: `photo ${i}`, base64: png.toString('base64') };
      }),
    );
    const ask = (some: typeof images) =>
      large.http.inject({
        method: 'POST',
        url: `/v1/classify?topK=${TINY_CLASSES}`,
        headers: { 'content-type': 'application/json' },
        payload: { images: some },
      });
    const many = await ask(images);
    expect(many.statusCode, many.body).toBe(200);
    expect(many.headers['content-length']).toBeUndefined();
    const few = await ask(images.slice(0, 3));
    expect(few.headers['content-length']).toBe(String(few.rawPayload.length));
    expect(many.headers['content-type']).toBe(few.headers['content-type']);
    const { results } = many.json<Answer>();
    expect(results.map(({ name }) => name)).toEqual(images.map(({ name }) => name));
    few.json<Answer>().results.forEach(({ predictions }, position) => {
      expect(Object.keys(results[position]!.predictions[0]!)).toEqual(Object.keys(predictions[0]!));
      expect(results[position]!.predictions.map(({ index }) => index)).toEqual(predictions.map(({ index }) => index));
    });
    await large.close();
  });

  it('is refused with its number where it is too many', () => {
    expect(() => checkTopK(1000, 1000, 2 ** 18)).not.toThrow();
    expect(() => checkTopK(1000, 1000, 2 ** 18 + 1)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: 'The answer would have 262145 predictions.',
        errors: [{ parameter: 'topK', detail: expect.stringMatching(/at most 262144 predictions/) as string }],
        limit: { name: 'predictions', value: 262_144, needed: 262_145 },
      }) as Error,
    );
  });
});
