/** Requests that are broken, or made to cost more than they weigh. */
import { connect } from 'node:net';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { measureProcessor } from '../support/progress.js';

interface Problem {
  code: string;
  status: number;
  instance: string;
  errors?: { parameter: string; detail: string }[];
}

let app: TestApp;
let url: string;
let cat: Buffer;
beforeAll(async () => {
  app = await startTestApp({ FULLCONV_MAX_BYTES: '8000000' });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => app.close());

const post = (path: string, payload: Buffer | string, type: string) =>
  app.http.inject({ method: 'POST', url: path, headers: { 'content-type': type }, payload });

describe('JSON bodies', () => {
  it('with a million wrong images are refused in a short answer', async () => {
    const body = `{"images":[${'0,'.repeat(999_999)}0]}`;
    const { result: response, ms } = await measureProcessor(() => post('/v1/classify', body, 'application/json'));
    expect(ms).toBeLessThan(2000);
    expect(response.statusCode).toBe(400);
    expect(response.body.length).toBeLessThan(1000);
    // What it has first is wrong; the rest is not looked at.
    expect(response.json<Problem>().errors).toMatchObject([{ parameter: 'images[0]' }]);
  });

  it('with a hundred thousand unknown keys get a complaint about the first', async () => {
    const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`key${index}`, 1]));
    const response = await post(
      '/v1/classify',
      JSON.stringify({ images: [{ base64: 'AAAA' }], ...keys }),
      'application/json',
    );
    expect(response.statusCode).toBe(400);
    expect(response.json<Problem>().errors).toEqual([
      { parameter: 'key0', detail: 'is not known here; known are images' },
    ]);
  });
});

describe('multipart bodies', () => {
  const part = (name: string, filename: string | undefined, content: string | Buffer): Buffer =>
    Buffer.concat([
      Buffer.from(
        `--b\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
      ),
      Buffer.from(content),
      Buffer.from('\r\n'),
    ]);
  const end = Buffer.from('--b--\r\n');
  const type = 'multipart/form-data; boundary=b';

  it.each([
    ['no boundary', 'multipart/form-data', Buffer.from('--b--\r\n')],
    ['garbage', type, Buffer.from('garbage')],
    [
      'a part that breaks off',
      type,
      Buffer.from('--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\nxyz'),
    ],
    ['nothing', type, end],
  ])('of %s are INVALID_REQUEST', async (_, contentType, payload) => {
    const response = await post('/v1/classify', payload, contentType);
    expect(response.statusCode, response.body).toBe(400);
    expect(response.json<Problem>().code).toBe('INVALID_REQUEST');
  });

  it('may have long names, which are cut between characters', async () => {
    const payload = Buffer.concat([part('image', `a${'🐈'.repeat(300)}.png`, cat), end]);
    const { results } = (await post('/v1/classify', payload, type)).json<{ results: { name: string }[] }>();
    expect(results[0]!.name).toBe(`a${'🐈'.repeat(254)}`);
  });

  it('may have images without a file name, if their Content-Type says what they are', async () => {
    const head = (type: string): Buffer =>
      Buffer.from(`--b\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: ${type}\r\n\r\n`);
    const newline = Buffer.from('\r\n');
    const payload = Buffer.concat([
      ...['image/png', 'application/octet-stream'].flatMap((each) => [head(each), cat, newline]),
      end,
    ]);
    const response = await post('/v1/classify', payload, type);
    expect(response.statusCode, response.body).toBe(200);
    expect(response.json<{ results: { name: string }[] }>().results.map(({ name }) => name)).toEqual([
      'image-0',
      'image-1',
    ]);
  });

  it('of more files than the limit are refused', async () => {
    const parts = Array.from({ length: 70 }, (_, index) => part('image', `${index}.png`, 'x'));
    const response = await post('/v1/classify', Buffer.concat([...parts, end]), type);
    expect(response.statusCode, response.body).toBe(400);
    expect(response.body).toMatch(/the limit is 64/);
  });

  it('that go on beyond the byte limit are told so and cut off, and nothing stays admitted', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let answer = '';
    socket.on('error', () => undefined).on('data', (data) => (answer += data.toString()));
    socket.write(
      `POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const chunk = Buffer.alloc(100_000, 'a');
    let sent = 0;
    while (!socket.closed && !socket.destroyed && sent < 40_000_000) {
      socket.write(`${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      socket.write('\r\n');
      sent += chunk.length;
      await sleep(1);
    }
    expect(sent).toBeLessThan(40_000_000);
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(app.service.inference.admission.admitted).toBe(0);
  });
});

describe('what fastify and Node refuse by themselves is a problem too, with a request id', () => {
  it.each([
    ['a broken escape', '/%zz', 400, 'INVALID_REQUEST'],
    ['a long model name', `/v1/models/${'m'.repeat(500)}`, 404, 'MODEL_NOT_FOUND'],
    ['a method that the address does not take', '/v1/classify', 405, 'METHOD_NOT_ALLOWED'],
  ])('%s', async (_, path, status, code) => {
    const response = await app.http.inject({ method: 'GET', url: path });
    expect(response.statusCode, response.body).toBe(status);
    expect(response.headers['content-type']).toMatch('application/problem+json');
    expect(response.json<Problem>()).toMatchObject({ code, status, instance: response.headers['x-request-id'] });
    if (status === 405) expect(response.headers.allow).toBe('POST');
  });

  it('bytes that are not HTTP', async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write('nonsense\r\n\r\n'));
      let text = '';
      socket.on('data', (data) => (text += data.toString()));
      socket.on('close', () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1.1 400 [\s\S]*application\/problem\+json[\s\S]*"code":"INVALID_REQUEST"/);
  });

  it.each(['image', ';;;', 'image/png; charset'])(
    'an image whose Content-Type is "%s" is still an image',
    async (type) => {
      const response = await post('/v1/classify', cat, type);
      expect(response.statusCode, response.body).toBe(200);
    },
  );
});

describe('numbers', () => {
  it.each(['topK=0x2', 'size=1e2', 'priority=', 'size=+64', 'size=64.5', 'scale=1,,2', 'deadlineMs=Infinity'])(
    '%s is refused with what is allowed',
    async (query) => {
      const response = await post(`/v1/classify?${query}`, cat, 'image/png');
      expect(response.statusCode, response.body).toBe(400);
      expect(response.json<Problem>().errors).toMatchObject([
        { parameter: query.split('=')[0], detail: expect.stringMatching(/^must be a (whole )?number from/) as string },
      ]);
    },
  );
});

it.each([
  ['topK=5&topK=5', 'topK'],
  ['model=a&model=b', 'model'],
  ['flip&flip', 'flip'],
  ['fit=crop&fit=whole', 'fit'],
])('a parameter that is given twice is refused for that: %s', async (query, parameter) => {
  const response = await post(`/v1/classify?${query}`, cat, 'image/png');
  expect(response.json<Problem>()).toMatchObject({ status: 400, errors: [{ parameter, detail: 'may be given once' }] });
});

it('a list that is too long is refused for that', async () => {
  const response = await post(`/v1/classify?${'scale=1&'.repeat(17)}`, cat, 'image/png');
  expect(response.json<Problem>().errors).toMatchObject([
    { parameter: 'scale', detail: expect.stringMatching(/16/) as string },
  ]);
});

it('numbers with an exponent, as programs write small ones, are numbers', async () => {
  const values = { alpha: 1e-7, minProbability: 2e-7 };
  const response = await post(
    `/v1/segment?alpha=${values.alpha}&minProbability=${values.minProbability}&scale=1E0`,
    cat,
    'image/png',
  );
  expect(response.statusCode, response.body).toBe(200);
  expect((await post('/v1/segment?alpha=1e7', cat, 'image/png')).json<Problem>().errors).toEqual([
    { parameter: 'alpha', detail: 'must be a number from 0 to 1' },
  ]);
});

describe('one request among others', () => {
  it('one pass too large refuses all passes before any has run', async () => {
    const before = (await app.http.inject('/metrics')).body;
    const response = await post(`/v1/classify?size=800&scale=1,1,1,1,1,1,1,20`, cat, 'image/png');
    expect(response.statusCode, response.body).toBe(422);
    const runs = (text: string): string[] => text.match(/^fullconv_batch_size_count.*$/gm) ?? [];
    expect(runs((await app.http.inject('/metrics')).body)).toEqual(runs(before));
    expect(app.service.inference.admission.admitted).toBe(0);
  });

  it('holds its places until nothing of it runs any more', async () => {
    const photo = await sharp(cat).resize(1500, 1000).jpeg().toBuffer();
    const images = Array.from({ length: 8 }, () => ({ base64: photo.toString('base64') }));
    const response = await post('/v1/classify?size=800&deadlineMs=60', JSON.stringify({ images }), 'application/json');
    expect(response.json<Problem>()).toMatchObject({ code: 'DEADLINE_EXCEEDED', status: 504 });
    expect(app.service.inference.admission.admitted).toBe(0);
    expect(app.service.batcher.queued).toBe(0);
  });

  it('asks for more passes than ever fit: refused for good, not told to come again', async () => {
    const small = await startTestApp({ FULLCONV_MAX_QUEUE: '3' }, app.models);
    const response = await small.http.inject({ method: 'POST', url: '/v1/classify?scale=1,2&flip', payload: cat });
    expect(response.json<Problem>()).toMatchObject({ code: 'INVALID_REQUEST', status: 400 });
    await small.close();
  });

  it('with a body beyond what all bodies together may hold is told to come again', async () => {
    const small = await startTestApp({ FULLCONV_MAX_BYTES: '400000', FULLCONV_MAX_BODIES_BYTES: '500000' }, app.models);
    const address = await small.http.listen({ port: 0, host: '127.0.0.1' });
    const slow = connect(Number(new URL(address).port), '127.0.0.1');
    slow.write('POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 390000\r\n\r\n');
    slow.write(Buffer.alloc(380_000));
    await sleep(100);
    const refused = await fetch(`${address}/v1/classify`, { method: 'POST', body: new Uint8Array(cat) });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'QUEUE_FULL' });
    slow.destroy();
    await sleep(100);
    expect((await fetch(`${address}/v1/classify`, { method: 'POST', body: new Uint8Array(cat) })).status).toBe(200);
    await small.close();
  });
});
