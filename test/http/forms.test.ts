/** Forms as people send them: parameters among the fields work or are refused, and an image is an image. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ParameterError } from '../../src/errors.js';
import { startTestApp, type TestApp } from '../support/app.js';

let app: TestApp;
let cat: Buffer;
beforeAll(async () => {
  app = await startTestApp();
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => app.close());

type Part = readonly [headers: string, body: string | Buffer];

const field = (name: string, value: string): Part => [`Content-Disposition: form-data; name="${name}"`, value];
const FILE = 'Content-Disposition: form-data; name="image"; filename="cat.png"\r\nContent-Type: image/png';
const image = (): Part => [FILE, cat];

interface Answer {
  readonly code?: string;
  readonly detail?: string;
  readonly errors?: readonly ParameterError[];
  readonly results: readonly { readonly name: string; readonly predictions: readonly unknown[] }[];
}

async function send(path: string, parts: readonly Part[], headers: Record<string, string> = {}) {
  const pieces = parts.flatMap(([head, body]) => [Buffer.from(`--b\r\n${head}\r\n\r\n`), Buffer.from(body), CRLF]);
  const response = await app.http.inject({
    method: 'POST',
    url: `/v1/${path}`,
    headers: { 'content-type': 'multipart/form-data; boundary=b', accept: 'application/json', ...headers },
    payload: Buffer.concat([...pieces, Buffer.from('--b--\r\n')]),
  });
  return { status: response.statusCode, ...response.json<Answer>() };
}
const CRLF = Buffer.from('\r\n');

describe('an image', () => {
  it.each(['image/png', 'image/*', 'IMAGE/PNG', 'application/octet-stream', 'image/x-unheard-of; a=b'])(
    'is a part of the type %s without a file name',
    async (type) => {
      const head = `Content-Disposition: form-data; name="whatever"\r\nContent-Type: ${type}`;
      const { status, results } = await send('classify', [[head, cat]]);
      expect(status).toBe(200);
      expect(results.map(({ name }) => name)).toEqual(['image-0']);
    },
  );

  it('is none where a browser sends that no file was chosen', async () => {
    const none: Part = [
      'Content-Disposition: form-data; name="a"; filename=""\r\nContent-Type: application/octet-stream',
      '',
    ];
    expect((await send('classify', [none, image(), none])).results).toHaveLength(1);
    expect(await send('classify', [none])).toMatchObject({ status: 400, detail: 'The request holds no image.' });
  });

  it('is not written in another way', async () => {
    for (const encoding of ['base64', 'quoted-printable']) {
      const part: Part = [`${FILE}\r\nContent-Transfer-Encoding: ${encoding}`, cat.toString('base64')];
      expect(await send('classify', [part])).toMatchObject({
        status: 400,
        errors: [{ parameter: 'image', detail: expect.stringContaining(encoding) as string }],
      });
    }
    expect((await send('classify', [[`${FILE}\r\nContent-Transfer-Encoding: binary`, cat]])).status).toBe(200);
  });
});

describe('a parameter', () => {
  it.each(['before', 'behind'])('works %s the images', async (where) => {
    const fields = [field('topK', '3'), field('scale', '1'), field('scale', '1.5'), field('flip', 'true')];
    const parts = where === 'before' ? [...fields, image()] : [image(), ...fields];
    const { status, results } = await send('classify', parts);
    expect(status).toBe(200);
    expect(results.map(({ predictions }) => predictions.length)).toEqual([3, 3]);
  });

  it('works with a type of its own, as some libraries send it', async () => {
    const head = 'Content-Disposition: form-data; name=topK\r\nContent-Type: text/plain; charset=utf-8';
    const { results } = await send('classify', [image(), [head, '2']]);
    expect(results[0]!.predictions).toHaveLength(2);
  });

  it('gives the same answer as in the query', async () => {
    const one = await send('heatmap?class=thing,%20number%203&scores=logit&size=80', [image()]);
    const fields = [field('scores', 'logit'), field('class', 'thing, number 3'), field('size', '80')];
    const other = await send('heatmap', [image(), ...fields]);
    expect(one.status).toBe(200);
    expect(other.results).toEqual(one.results);
  });

  it('may need another that is elsewhere', async () => {
    const { status } = await send('heatmap?threshold=5', [image(), field('thresholdOf', 'value')]);
    expect(status).toBe(200);
    expect(await send('heatmap?threshold=5', [image()])).toMatchObject({
      status: 400,
      errors: [{ parameter: 'threshold' }],
    });
  });

  it.each<[string, string, readonly Part[], number, ParameterError[] | undefined]>([
    [
      'that is wrong',
      'classify',
      [field('topK', '0')],
      400,
      [{ parameter: 'topK', detail: 'must be a whole number from 1 to 100000' }],
    ],
    [
      'that is given twice',
      'classify',
      [field('topK', '1'), field('topK', '1')],
      400,
      [{ parameter: 'topK', detail: 'may be given once' }],
    ],
    [
      'that is in the query, too',
      'classify?topK=2',
      [field('topK', '2')],
      400,
      [{ parameter: 'topK', detail: 'is in the query and in the form; it may be in one of them' }],
    ],
    [
      'that names no model',
      'classify',
      [field('model', 'no')],
      404,
      [{ parameter: 'model', detail: 'must be one of: tiny-resnet, tiny-vgg' }],
    ],
    ['whose deadline has passed', 'classify?size=900', [field('deadlineMs', '1')], 504, undefined],
  ])('%s is refused', async (_, path, fields, status, errors) => {
    const refusal = await send(path, [image(), ...fields]);
    expect(refusal.status).toBe(status);
    expect(refusal.errors).toEqual(errors);
  });

  it('that does not exist is refused by its name, however strange that is', async () => {
    for (const name of ['topk', 'class[]', '__proto__', 'constructor', 'toString', 'x'.repeat(300), 'größe']) {
      const { status, errors } = await send('classify', [image(), field(name, '1')]);
      expect(status).toBe(400);
      expect(errors).toEqual([
        {
          parameter: name.slice(0, 100),
          detail: expect.stringMatching(/^is not known here; known are model, /) as string,
        },
      ]);
    }
  });

  it('without a name is refused', async () => {
    expect(await send('classify', [image(), ['Content-Disposition: form-data', '1']])).toMatchObject({
      status: 400,
      detail: 'The form has a field without a name.',
    });
  });
});

describe('many fields', () => {
  it('that are no parameters are refused by their names, and not for their number', async () => {
    const fields = Array.from({ length: 40 }, (_, at) => field(`field-${at}`, 'value'));
    const { status, errors, detail } = await send('classify', [...fields, image()]);
    expect(status).toBe(400);
    expect(detail).toBe('There are wrong parameters.');
    expect(errors!.map(({ parameter }) => parameter)).toEqual(fields.slice(0, 10).map((_, at) => `field-${at}`));
  });

  it('of one list are the list', async () => {
    const classes = Array.from({ length: 32 }, (_, at) => field('class', String(at % 10)));
    const { status, results } = await send('heatmap?size=64', [image(), ...classes]);
    expect(status).toBe(200);
    expect((results as unknown as { classes: unknown[] }[])[0]!.classes).toHaveLength(32);
  });

  it('are bounded in number and in bytes', async () => {
    const many = Array.from({ length: 300 }, () => field('class', '1'));
    expect(await send('heatmap', [image(), ...many])).toMatchObject({
      status: 400,
      limit: { name: 'form_fields', value: 256, needed: 257 },
    });
    const long = Array.from({ length: 8 }, () => field('class', 'x'.repeat(10_000)));
    expect(await send('heatmap', [image(), ...long])).toMatchObject({
      status: 400,
      limit: { name: 'form_fields_bytes', value: 65_536 },
    });
  });

  it('are told how an image is sent where one of them looks like an image', async () => {
    const { status, errors } = await send('classify', [field('image', 'x'.repeat(20_000))]);
    expect(status).toBe(400);
    expect(errors).toEqual([
      {
        parameter: 'image',
        detail: 'has more than 16384 bytes; an image needs a file name, or a Content-Type of image/*',
      },
    ]);
  });

  it('are told so where one of them is an image', async () => {
    const head = 'Content-Disposition: form-data; name="image"\r\nContent-Type: text/plain';
    for (const part of [field('image', cat.toString('latin1')), [head, cat.subarray(0, 500)] as const]) {
      const { status, errors } = await send('classify', [part]);
      expect(status).toBe(400);
      expect(errors).toMatchObject([
        {
          parameter: 'image',
          detail: expect.stringMatching(/; an image needs a file name, or a Content-Type/) as string,
        },
      ]);
    }
  });

  it('may say that they are in UTF-8, and nothing else', async () => {
    expect((await send('classify', [image(), field('_charset_', 'UTF-8')])).status).toBe(200);
    expect(await send('classify', [image(), field('_charset_', 'iso-8859-1')])).toMatchObject({
      status: 400,
      errors: [{ parameter: '_charset_' }],
    });
  });
});
