/** The Open Inference Protocol, line by line: docs/open-inference.md has the table of lines and tests. */
import { readFile } from 'node:fs/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkClassification } from '../../src/http/open-inference/infer.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { binaryBody, binaryInput, bytesTensor, float32, readAnswer } from '../support/open-inference.js';
import { TINY_CLASSES } from '../support/tiny-models.js';

const SIDE = 64;
const MODEL = '/v2/models/tiny-resnet';
const TOKEN = { authorization: 'Bearer secret' };

let app: TestApp;
let photos: Buffer[];
/** Pixels of the model's size, `[64, 64, 3]`. */
let pixels: Buffer;
beforeAll(async () => {
  app = await startTestApp({ FULLCONV_ADMIN_TOKEN: 'secret', FULLCONV_MAX_IMAGES: '8' });
  const read = (name: string): Promise<Buffer> => readFile(new URL(`../fixtures/photos/${name}`, import.meta.url));
  photos = await Promise.all(['grace_hopper.jpg', 'chelsea.png', 'coffee.png'].map(read));
  pixels = await sharp(photos[1]).resize(SIDE, SIDE, { fit: 'fill' }).removeAlpha().raw().toBuffer();
});
afterAll(() => app.close());

type Headers = Readonly<Record<string, string>>;

const get = (url: string) => app.http.inject({ method: 'GET', url });
const post = (url: string, payload: Buffer | string = '', headers: Headers = {}) =>
  app.http.inject({ method: 'POST', url, payload, headers });

async function ask(url: string, json: object, ...tensors: readonly Uint8Array[]) {
  const { payload, headers } = binaryBody(json, ...tensors);
  return post(`${url}/infer`, payload, headers);
}

/** The rows of `scores` for encoded photos. */
async function scoresOf(images: readonly Buffer[], parameters: object = {}): Promise<Float32Array> {
  const tensor = bytesTensor(...images);
  const request = {
    inputs: [binaryInput('BYTES', [images.length], tensor.length)],
    parameters: { binary_data_output: true, ...parameters },
  };
  const response = await ask(MODEL, request, tensor);
  expect(response.statusCode, response.body).toBe(200);
  return float32(readAnswer(response).binary.get('scores')!);
}

async function errorOf(response: ReturnType<typeof post>): Promise<string> {
  const { statusCode, headers, body } = await response;
  expect(statusCode, body.slice(0, 500)).toBeGreaterThanOrEqual(400);
  expect(headers['content-type']).toMatch(/^application\/json/);
  const json = JSON.parse(body) as Record<string, unknown>;
  expect(Object.keys(json)).toContain('error');
  expect(json['error']).toBeTypeOf('string');
  return `${statusCode} ${String(json['error'])}`;
}

describe('server and models', () => {
  it.each([
    ['/v2/health/live', { live: true }],
    ['/v2/health/ready', { ready: true, live: true }],
    ['/v2/health/live?test_1=1&test_2=2', { live: true }],
    [`${MODEL}/ready`, { name: 'tiny-resnet', ready: true }],
    [`${MODEL}/versions/1/ready`, { name: 'tiny-resnet', ready: true }],
  ])('GET %s', async (url, expected) => {
    const response = await get(url);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual(expected);
  });

  it('names itself and what it offers, with and without a slash', async () => {
    const [plain, slashed] = [await get('/v2'), await get('/v2/')];
    expect(plain.json()).toMatchObject({ name: 'fullconv', version: expect.stringMatching(/^\d/) as string });
    expect(plain.json<{ extensions: string[] }>().extensions).toContain('binary_tensor_data');
    expect(slashed.json()).toEqual(plain.json());
  });

  it('describes a model as pixels in, scores out; once more as files in; and its maps', async () => {
    expect((await get(MODEL)).json()).toEqual({
      name: 'tiny-resnet',
      versions: ['1'],
      platform: 'fullconv_onnxruntime',
      inputs: [{ name: 'image', datatype: 'UINT8', shape: [-1, SIDE, SIDE, 3] }],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, TINY_CLASSES] }],
    });
    expect((await get(`${MODEL}.encoded`)).json()).toMatchObject({
      inputs: [{ name: 'image', datatype: 'BYTES', shape: [-1, 1] }],
    });
    expect((await get(`${MODEL}.heatmap`)).json()).toMatchObject({
      outputs: [
        { name: 'map', datatype: 'FP32', shape: [-1, -1, -1, -1] },
        { name: 'classes', datatype: 'INT64', shape: [-1, -1] },
        { name: 'cells', datatype: 'FP32', shape: [-1, 4] },
      ],
    });
  });

  it.each(['', '.encoded', '.heatmap'])('the configuration of NAME%s has the names of its metadata', async (suffix) => {
    const metadata = (await get(MODEL + suffix)).json<{ inputs: { name: string }[]; outputs: { name: string }[] }>();
    const configuration = (await get(`${MODEL}${suffix}/config`)).json<{
      max_batch_size: number;
      input: { name: string; data_type: string; dims: number[] }[];
      output: { name: string }[];
      dynamic_batching: object;
    }>();
    expect(configuration.max_batch_size).toBe(8);
    expect(configuration.input.map(({ name }) => name)).toEqual(metadata.inputs.map(({ name }) => name));
    expect(configuration.output.map(({ name }) => name)).toEqual(metadata.outputs.map(({ name }) => name));
    expect(configuration.input[0]).toMatchObject(
      suffix === '.encoded'
        ? { data_type: 'TYPE_STRING', dims: [1] }
        : { data_type: 'TYPE_UINT8', format: 'FORMAT_NHWC', dims: [SIDE, SIDE, 3] },
    );
    expect(configuration.dynamic_batching).toEqual({});
  });

  it.each([
    ['GET', '/v2/models/nothing', /^404 There is no model "nothing"/],
    ['GET', '/v2/models/nothing.heatmap', /^404 There is no model "nothing.heatmap"/],
    ['GET', `${MODEL}/versions/2`, /^404 .*no version 2; it has 1/],
    ['GET', `${MODEL}/versions/one`, /^404 /],
    ['GET', '/v2/nothing', /^404 There is nothing at GET \/v2\/nothing/],
    ['DELETE', MODEL, /^405 /],
    ['GET', `${MODEL}/infer`, /^405 .*takes POST/],
    ['GET', '/v2/systemsharedmemory/status', /^501 Shared memory is not supported/],
    ['POST', '/v2/cudasharedmemory/region/r/register', /^501 Shared memory is not supported/],
    ['POST', '/v2/repository/other/index', /^501 /],
    ['GET', '/v2/logging', /^404 /],
    ['POST', `${MODEL}/generate`, /^404 /],
  ] as const)('%s %s is an error in JSON', async (method, url, expected) => {
    expect(await errorOf(app.http.inject({ method, url }))).toMatch(expected);
  });

  it('does not take /v20 for the protocol', async () => {
    expect((await get('/v20')).headers['content-type']).toMatch(/problem/);
  });
});

describe('scores', () => {
  it('are those of /v1, to the last bit, for image files of mixed sizes in their order', async () => {
    const scores = await scoresOf(photos);
    expect(scores).toHaveLength(3 * TINY_CLASSES);
    for (const [row, photo] of photos.entries()) {
      const url = `/v1/classify?topK=${TINY_CLASSES}`;
      const { results } = (await post(url, photo)).json<{
        results: { predictions: { index: number; probability: number }[] }[];
      }>();
      for (const { index, probability } of results[0]!.predictions) {
        expect(scores[row * TINY_CLASSES + index]).toBe(Math.fround(probability));
      }
    }
  });

  it('are the same in JSON and in bytes, of BYTES [N] and [N, 1], of files in base64, and by the name for files', async () => {
    const expected = await scoresOf(photos);
    const tensor = bytesTensor(...photos);
    const column = { inputs: [binaryInput('BYTES', [3, 1], tensor.length)] };
    for (const url of [MODEL, `${MODEL}.encoded`, `${MODEL}/versions/1`]) {
      const response = await ask(url, column, tensor);
      expect(response.headers['content-type']).toMatch(/^application\/json/);
      const { outputs } = response.json<{ outputs: { data: number[]; shape: number[]; parameters?: object }[] }>();
      expect(outputs[0]!.shape).toEqual([3, TINY_CLASSES]);
      expect(outputs[0]!.parameters).toBeUndefined();
      expect(Float32Array.from(outputs[0]!.data)).toEqual(expected);
    }
    const base64 = {
      name: 'image',
      datatype: 'BYTES',
      shape: [3],
      parameters: { content_type: 'base64' },
      data: photos.map((photo) => photo.toString('base64')),
    };
    const response = await post(`${MODEL}/infer`, JSON.stringify({ inputs: [base64] }));
    expect(Float32Array.from(response.json<{ outputs: { data: number[] }[] }>().outputs[0]!.data)).toEqual(expected);
  });

  it('of pixels are those of the same picture in a file that is not resampled', async () => {
    const png = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png()
      .toBuffer();
    const ofFile = await scoresOf([png], { fit: 'native' });
    const request = {
      inputs: [binaryInput('UINT8', [2, SIDE, SIDE, 3], 2 * pixels.length)],
      outputs: [{ name: 'scores', parameters: { binary_data: true } }],
    };
    const { answer, binary } = readAnswer(await ask(MODEL, request, pixels, pixels));
    const ofPixels = float32(binary.get('scores')!);
    expect(answer.outputs[0]!.shape).toEqual([2, TINY_CLASSES]);
    expect(ofPixels.subarray(0, TINY_CLASSES)).toEqual(ofFile);
    expect(ofPixels.subarray(TINY_CLASSES)).toEqual(ofFile);
    const nested = Array.from({ length: SIDE }, (_, y) =>
      Array.from({ length: SIDE }, (_, x) => [...pixels.subarray((y * SIDE + x) * 3, (y * SIDE + x) * 3 + 3)]),
    );
    for (const data of [[...pixels], [nested]]) {
      const input = { name: 'image', datatype: 'UINT8', shape: [1, SIDE, SIDE, 3], data };
      const json = await post(`${MODEL}/infer`, JSON.stringify({ inputs: [input] }));
      expect(Float32Array.from(json.json<{ outputs: { data: number[] }[] }>().outputs[0]!.data)).toEqual(ofFile);
    }
  });

  it('of a larger input are those of the whole of it', async () => {
    const size = { width: 100, height: 80 };
    const larger = await sharp(photos[0])
      .resize({ ...size, fit: 'fill' })
      .raw()
      .toBuffer();
    const png = await sharp(larger, { raw: { ...size, channels: 3 } })
      .png()
      .toBuffer();
    const request = {
      inputs: [binaryInput('UINT8', [1, 80, 100, 3], larger.length)],
      parameters: { binary_data_output: true },
    };
    const { binary } = readAnswer(await ask(MODEL, request, larger));
    expect(float32(binary.get('scores')!)).toEqual(await scoresOf([png], { fit: 'native' }));
  });

  it('follow the parameters of /v1', async () => {
    const plain = await scoresOf([photos[0]!]);
    const asked = await scoresOf([photos[0]!], { size: 96, flip: true, scores: 'logit', scale: 1.5 });
    expect(asked).not.toEqual(plain);
    const { results } = (
      await post(`/v1/classify?topK=${TINY_CLASSES}&size=96&flip&scores=logit&scale=1.5`, photos[0])
    ).json<{ results: { predictions: { index: number; logit: number }[] }[] }>();
    for (const { index, logit } of results[0]!.predictions) expect(asked[index]).toBe(Math.fround(logit));
  });

  it('are asked for by a raw request, of a file or of pixels', async () => {
    for (const [body, expected] of [
      [photos[0]!, await scoresOf([photos[0]!])],
      [
        pixels,
        await scoresOf(
          [
            await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
              .png()
              .toBuffer(),
          ],
          { fit: 'native' },
        ),
      ],
    ] as const) {
      const response = await post(`${MODEL}/infer`, body, { 'inference-header-content-length': '0' });
      const { answer, binary } = readAnswer(response);
      expect(answer.outputs[0]!.shape).toEqual([1, TINY_CLASSES]);
      expect(float32(binary.get('scores')!)).toEqual(expected);
    }
  });

  it('become the best classes, as texts, best first', async () => {
    const tensor = bytesTensor(photos[0]!, photos[1]!);
    const scores = await scoresOf([photos[0]!, photos[1]!]);
    const input = binaryInput('BYTES', [2], tensor.length);
    const outputs = (binary: boolean) => [{ name: 'scores', parameters: { classification: 3, binary_data: binary } }];
    const { answer } = readAnswer(await ask(MODEL, { inputs: [input], outputs: outputs(false) }, tensor));
    const [output] = answer.outputs;
    expect(output).toMatchObject({ datatype: 'BYTES', shape: [2, 3] });
    const texts = output!.data as string[];
    const row = Array.from(scores.subarray(0, TINY_CLASSES)).map((value, index) => ({ value, index }));
    const best = row.sort((a, b) => b.value - a.value).slice(0, 3);
    expect(texts.slice(0, 3).map((text) => text.split(':').slice(0, 2))).toEqual(
      best.map(({ value, index }) => [value.toFixed(6), String(index)]),
    );
    const binary = readAnswer(await ask(MODEL, { inputs: [input], outputs: outputs(true) }, tensor)).binary;
    expect(binary.get('scores')).toEqual(bytesTensor(...texts.map((text) => Buffer.from(text))));
    // More than there are classes: all.
    const many = [{ name: 'scores', parameters: { classification: 1000 } }];
    const all = readAnswer(await ask(MODEL, { inputs: [input], outputs: many }, tensor)).answer;
    expect(all.outputs[0]!.shape).toEqual([2, TINY_CLASSES]);
  });

  it('of more classes than an answer may have are refused', () => {
    const outputs = [{ name: 'scores', binary: undefined, classification: 1e9 }];
    expect(() => checkClassification(outputs, 64, 5000)).toThrow('would have 320000 classes; the limit is 262144');
    expect(() => checkClassification(outputs, 52, 5000)).not.toThrow();
  });

  it('come with the id of the request, also an empty one, and with none if there was none', async () => {
    const inputs = [binaryInput('UINT8', [1, SIDE, SIDE, 3], pixels.length)];
    for (const id of ['a/b "c"', '']) {
      expect((await ask(MODEL, { id, inputs, model_name: 'other', unknown: [1] }, pixels)).json()).toMatchObject({
        id,
      });
    }
    expect((await ask(MODEL, { inputs }, pixels)).json()).not.toHaveProperty('id');
  });
});

describe('maps', () => {
  it('are those of /v1/heatmap, with their classes and where their cells are', async () => {
    const tensor = bytesTensor(photos[1]!);
    const request = {
      inputs: [binaryInput('BYTES', [1], tensor.length)],
      parameters: { binary_data_output: true, size: 128, top: 2 },
    };
    const { answer, binary } = readAnswer(await ask(`${MODEL}.heatmap`, request, tensor));
    const npy = await post('/v1/heatmap?size=128&top=2', photos[1], { accept: 'application/x-npy' });
    const [map, classes, cells] = answer.outputs;
    expect(answer.model_name).toBe('tiny-resnet.heatmap');
    const values = binary.get('map')!;
    expect(npy.rawPayload.subarray(-values.length)).toEqual(values);
    expect(map!.shape.slice(0, 2)).toEqual([1, 2]);
    expect(classes).toMatchObject({ datatype: 'INT64', shape: [1, 2] });
    expect(cells!.shape).toEqual([1, 4]);

    const { results } = (await post('/v1/heatmap?size=128&top=2', photos[1], { accept: 'application/json' })).json<{
      results: {
        width: number;
        input: { width: number };
        map: { offset: number; outputStride: number };
        classes: { index: number }[];
      }[];
    }>();
    const { width, input, map: geometry, classes: named } = results[0]!;
    const indices = new BigInt64Array(Uint8Array.from(binary.get('classes')!).buffer);
    expect([...indices].map(Number)).toEqual(named.map(({ index }) => index));
    const [x, , stepX] = float32(binary.get('cells')!);
    const perPixel = width / input.width;
    expect(x).toBeCloseTo(geometry.offset * perPixel, 3);
    expect(stepX).toBeCloseTo(geometry.outputStride * perPixel, 3);
  });

  it('of several images are of one size', async () => {
    const [, png] = photos;
    const same = bytesTensor(png!, png!);
    const inputs = (tensor: Buffer) => [binaryInput('BYTES', [2], tensor.length)];
    const { answer } = readAnswer(
      await ask(`${MODEL}.heatmap`, { inputs: inputs(same), parameters: { size: 96 } }, same),
    );
    expect(answer.outputs[0]!.shape[0]).toBe(2);
    const mixed = bytesTensor(photos[0]!, png!);
    const asked = ask(`${MODEL}.heatmap`, { inputs: inputs(mixed), parameters: { size: 96 } }, mixed);
    expect(await errorOf(asked)).toMatch(/^400 .*image 1: has a map of .*an answer has maps of one size/);
  });

  it('are the outputs that are asked for, in that order, each in its form', async () => {
    const inputs = [binaryInput('UINT8', [1, 96, 96, 3], 96 * 96 * 3)];
    const outputs = [{ name: 'classes' }, { name: 'map', parameters: { binary_data: true } }];
    const request = { inputs, outputs, parameters: { class: 3 } };
    const { answer, binary } = readAnswer(await ask(`${MODEL}.heatmap`, request, Buffer.alloc(96 * 96 * 3, 90)));
    expect(answer.outputs.map(({ name }) => name)).toEqual(['classes', 'map']);
    expect(answer.outputs[0]!.data).toEqual([3]);
    expect(binary.get('map')!.length).toBe(4 * answer.outputs[1]!.shape.reduce((a, b) => a * b));
  });

  it('are refused on their plan where they are too large as text', async () => {
    const image = { width: 960, height: 960, channels: 3, background: '#888' } as const;
    const png = await sharp({ create: image }).png().toBuffer();
    const tensor = bytesTensor(...Array.from({ length: 8 }, () => png));
    const inputs = [binaryInput('BYTES', [8], tensor.length)];
    const parameters = { top: TINY_CLASSES, size: 960, outputStride: 4 };
    const before = (await statsOf('tiny-resnet.heatmap')).inference_count;
    expect(await errorOf(ask(`${MODEL}.heatmap`, { inputs, parameters }, tensor))).toMatch(
      /^400 The answer would have .* map values .*or for binary data/,
    );
    expect((await statsOf('tiny-resnet.heatmap')).inference_count).toBe(before);
  });

  it('cannot be classified', async () => {
    const outputs = [{ name: 'map', parameters: { classification: 2 } }];
    const inputs = [binaryInput('UINT8', [1, SIDE, SIDE, 3], pixels.length)];
    expect(await errorOf(ask(`${MODEL}.heatmap`, { inputs, outputs }, pixels))).toMatch(
      /^400 .*is for the output scores/,
    );
  });
});

describe('bodies', () => {
  const input = () => binaryInput('UINT8', [1, SIDE, SIDE, 3], pixels.length);

  it('come compressed; the length of the JSON counts what they hold', async () => {
    const { payload, headers } = binaryBody({ inputs: [input()] }, pixels);
    const plain = await post(`${MODEL}/infer`, payload, headers);
    for (const [coding, compress] of [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
    ] as const) {
      const packed = compress(payload);
      const response = await post(`${MODEL}/infer`, packed, { ...headers, 'content-encoding': coding });
      expect(response.json()).toEqual(plain.json());
    }
    const unknown = post(`${MODEL}/infer`, payload, { ...headers, 'content-encoding': 'zstd' });
    expect(await errorOf(unknown)).toMatch(/^415 /);
  });

  it.each(['application/octet-stream', 'application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data', 'x'])(
    'are read whatever their type, such as %s',
    async (type) => {
      const { payload, headers } = binaryBody({ inputs: [input()] }, pixels);
      expect((await post(`${MODEL}/infer`, payload, { ...headers, 'content-type': type })).statusCode).toBe(200);
    },
  );

  it('may leave out the size of an only input: it is the rest', async () => {
    const only = { name: 'image', datatype: 'UINT8', shape: [1, SIDE, SIDE, 3] };
    expect((await ask(MODEL, { inputs: [only] }, pixels)).statusCode).toBe(200);
  });

  const binary = (json: object, bytes: Uint8Array = pixels) => ask(MODEL, json, bytes);
  const file = (): Buffer => bytesTensor(photos[0]!);

  it.each<[what: string, request: () => ReturnType<typeof post>, expected: RegExp]>([
    ['nothing', () => post(`${MODEL}/infer`), /^400 The request is no JSON/],
    ['no JSON', () => post(`${MODEL}/infer`, '{"inputs":'), /^400 The request is no JSON/],
    ['a list', () => post(`${MODEL}/infer`, '[]'), /^400 .*must be a JSON object/],
    ['no inputs', () => post(`${MODEL}/infer`, '{}'), /^400 .*inputs: /],
    ['empty inputs', () => post(`${MODEL}/infer`, '{"inputs":[]}'), /^400 .*inputs: must have an input/],
    [
      'an unknown input',
      () => binary({ inputs: [{ ...input(), name: 'x' }] }),
      /^400 .*inputs\[0\].name: must be image/,
    ],
    ['an input twice', () => binary({ inputs: [input(), input()] }), /^400 .*inputs\[1\]: is there twice/],
    [
      'an unknown datatype',
      () => binary({ inputs: [{ ...input(), datatype: 'UINT7' }] }),
      /^400 .*inputs\[0\].datatype/,
    ],
    ['another datatype', () => binary({ inputs: [{ ...input(), datatype: 'FP32' }] }), /^400 .*not FP32/],
    [
      'a shape of three',
      () => binary({ inputs: [{ ...input(), shape: [SIDE, SIDE, 3] }] }),
      /^400 .*inputs\[0\].shape: must be \[images/,
    ],
    [
      'a negative shape',
      () => binary({ inputs: [{ ...input(), shape: [-1, SIDE, SIDE, 3] }] }),
      /^400 .*must not be negative/,
    ],
    [
      'a shape that overflows',
      () => binary({ inputs: [{ ...input(), shape: [2, 2 ** 40, 2 ** 40, 3] }] }),
      /^400 .*is too large/,
    ],
    [
      'a broken shape',
      () => binary({ inputs: [{ ...input(), shape: [1.5, SIDE, SIDE, 3] }] }),
      /^400 .*inputs\[0\].shape\[0\]/,
    ],
    ['no image', () => binary({ inputs: [{ ...input(), shape: [0, SIDE, SIDE, 3] }] }), /^400 .*at least one image/],
    [
      'too many images',
      () => binary({ inputs: [{ ...input(), shape: [9, SIDE, SIDE, 3] }] }),
      /^400 .*has 9 images; the limit is 8/,
    ],
    [
      'other bytes than the shape',
      () => binary({ inputs: [{ ...input(), shape: [1, SIDE, SIDE + 1, 3] }] }),
      /^400 .*has 12288 bytes, and not the 12480/,
    ],
    ['missing bytes', () => binary({ inputs: [input()] }, pixels.subarray(1)), /^400 .*lacks 1 bytes/],
    [
      'surplus bytes',
      () => binary({ inputs: [input()] }, Buffer.concat([pixels, Buffer.alloc(2)])),
      /^400 .*has 2 bytes behind/,
    ],
    ['a negative size', () => binary({ inputs: [binaryInput('UINT8', [1, 1, 1, 3], -1)] }), /^400 .*binary_data_size/],
    ['data and a size', () => binary({ inputs: [{ ...input(), data: [1] }] }), /^400 .*has data and binary_data_size/],
    ['neither', () => binary({ inputs: [{ ...input(), parameters: {} }] }, Buffer.alloc(0)), /^400 .*neither data nor/],
    [
      'shared memory',
      () => binary({ inputs: [{ ...input(), parameters: { shared_memory_region: 'r' } }] }),
      /^400 .*no shared memory/,
    ],
    [
      'a size without the header',
      () => post(`${MODEL}/infer`, JSON.stringify({ inputs: [input()] })),
      /^400 .*no Inference-Header-Content-Length/,
    ],
    [
      'a header beyond the body',
      () => post(`${MODEL}/infer`, '{}', { 'inference-header-content-length': '3' }),
      /^400 .*Inference-Header-Content-Length/,
    ],
    [
      'a negative header',
      () => post(`${MODEL}/infer`, '{}', { 'inference-header-content-length': '-1' }),
      /^400 .*Inference-Header-Content-Length/,
    ],
    [
      'a header that is no number',
      () => post(`${MODEL}/infer`, '{}', { 'inference-header-content-length': '0x2' }),
      /^400 .*Inference-Header-Content-Length/,
    ],
    [
      'an element beyond its tensor',
      () => binary({ inputs: [binaryInput('BYTES', [1], 8)] }, Buffer.from([255, 255, 255, 255, 1, 2, 3, 4])),
      /^400 .*inputs\[0\]\[0\]: is to have 4294967295 bytes/,
    ],
    [
      'a length cut short',
      () => binary({ inputs: [binaryInput('BYTES', [1], 3)] }, Buffer.alloc(3)),
      /^400 .*no length of 4 bytes/,
    ],
    [
      'too few elements',
      () => binary({ inputs: [binaryInput('BYTES', [2], file().length)] }, file()),
      /^400 .*has 1 elements, and not the 2/,
    ],
    [
      'too many elements',
      () => binary({ inputs: [binaryInput('BYTES', [1], 2 * file().length)] }, Buffer.concat([file(), file()])),
      /^400 .*behind its 1 elements/,
    ],
    [
      'text for an image',
      () =>
        post(
          `${MODEL}/infer`,
          JSON.stringify({ inputs: [{ name: 'image', datatype: 'BYTES', shape: [1], data: ['abc'] }] }),
        ),
      /^400 .*content_type/,
    ],
    [
      'broken base64',
      () =>
        post(
          `${MODEL}/infer`,
          JSON.stringify({
            inputs: [
              { name: 'image', datatype: 'BYTES', shape: [1], parameters: { content_type: 'base64' }, data: ['a'] },
            ],
          }),
        ),
      /^400 .*inputs\[0\].data\[0\]/,
    ],
    [
      'a number that is no byte',
      () =>
        post(
          `${MODEL}/infer`,
          JSON.stringify({ inputs: [{ name: 'image', datatype: 'UINT8', shape: [1, 1, 1, 3], data: [1, 256, 3] }] }),
        ),
      /^400 .*inputs\[0\].data\[1\]: must be a whole number from 0 to 255/,
    ],
    [
      'an unknown output',
      () => binary({ inputs: [input()], outputs: [{ name: 'x' }] }),
      /^400 .*outputs\[0\].name: must be one of: scores/,
    ],
    [
      'an output twice',
      () => binary({ inputs: [input()], outputs: [{ name: 'scores' }, { name: 'scores' }] }),
      /^400 .*outputs\[0\]: is there twice/,
    ],
    [
      'no class',
      () => binary({ inputs: [input()], outputs: [{ name: 'scores', parameters: { classification: 0 } }] }),
      /^400 .*classification/,
    ],
    [
      'an unknown parameter',
      () => binary({ inputs: [input()], parameters: { sise: 5 } }),
      /^400 .*sise: is not known here/,
    ],
    [
      'a wrong parameter',
      () => binary({ inputs: [input()], parameters: { size: 0 } }),
      /^400 .*size: must be a whole number from 1/,
    ],
    ['a reserved parameter', () => binary({ inputs: [input()], parameters: { triton_x: 5 } }), /^400 .*is reserved/],
    ['a sequence', () => binary({ inputs: [input()], parameters: { sequence_id: 5 } }), /^400 .*no sequences/],
    [
      'a file of another format',
      () => binary({ inputs: [binaryInput('BYTES', [1], 9)] }, bytesTensor(Buffer.from('%PDF-'))),
      /^400 .*This is PDF/,
    ],
    [
      'a damaged file',
      () => binary({ inputs: [binaryInput('BYTES', [1], 104)] }, bytesTensor(photos[0]!.subarray(0, 100))),
      /^400 /,
    ],
  ])('with %s are refused with the place of the fault', async (_, request, expected) => {
    expect(await errorOf(request())).toMatch(expected);
  });

  it('one bad image of several fails the request, by its position', async () => {
    const tensor = bytesTensor(photos[0]!, photos[0]!.subarray(0, 5000), photos[1]!);
    const asked = ask(MODEL, { inputs: [binaryInput('BYTES', [3], tensor.length)] }, tensor);
    expect(await errorOf(asked)).toMatch(/^400 Image 1: /);
  });

  it('beyond the limit are 413', async () => {
    const small = await startTestApp({ FULLCONV_MAX_BYTES: '20000' });
    try {
      const { payload, headers } = binaryBody({ inputs: [input()] }, pixels, pixels);
      const bomb = gzipSync(Buffer.alloc(1_000_000));
      for (const [body, more] of [
        [payload, headers],
        [bomb, { 'content-encoding': 'gzip' }],
      ] as const) {
        const asked = small.http.inject({ method: 'POST', url: `${MODEL}/infer`, payload: body, headers: more });
        expect(await errorOf(asked)).toMatch(/^413 /);
      }
    } finally {
      await small.close();
    }
  });

  it('a deadline of the request is kept', async () => {
    const asked = ask(MODEL, { inputs: [input()], parameters: { timeout: 1 } }, pixels);
    expect(await errorOf(asked)).toMatch(/^50[34] /);
  });
});

interface Stats {
  name: string;
  inference_count: number;
  execution_count: number;
  last_inference: number;
  inference_stats: Record<string, { count: number; ns: number }>;
  batch_stats: { batch_size: number; compute_infer: { count: number; ns: number } }[];
}

async function statsOf(model: string): Promise<Stats> {
  return (await get(`/v2/models/${model}/stats`)).json<{ model_stats: Stats[] }>().model_stats[0]!;
}

it('statistics count requests, images and runs, and never fall', async () => {
  const before = await statsOf('tiny-vgg');
  const tensor = bytesTensor(...photos);
  const inputs = [binaryInput('BYTES', [3], tensor.length)];
  await ask('/v2/models/tiny-vgg', { inputs }, tensor);
  await ask(
    '/v2/models/tiny-vgg',
    { inputs: [binaryInput('BYTES', [1], 104)] },
    bytesTensor(photos[0]!.subarray(0, 100)),
  );
  const after = await statsOf('tiny-vgg');
  const grown = (key: string): number => after.inference_stats[key]!.count - before.inference_stats[key]!.count;
  expect(Object.keys(after.inference_stats).sort()).toEqual(
    ['success', 'fail', 'queue', 'compute_input', 'compute_infer', 'compute_output', 'cache_hit', 'cache_miss'].sort(),
  );
  expect([grown('success'), grown('fail'), grown('queue')]).toEqual([1, 1, 1]);
  expect([grown('compute_input'), grown('compute_infer'), grown('compute_output')]).toEqual([1, 1, 1]);
  expect(after.inference_count - before.inference_count).toBe(3);
  const images = after.batch_stats.reduce(
    (sum, { batch_size, compute_infer }) => sum + batch_size * compute_infer.count,
    0,
  );
  expect(images).toBe(after.inference_count);
  expect(after.batch_stats.reduce((sum, { compute_infer }) => sum + compute_infer.count, 0)).toBe(
    after.execution_count,
  );
  expect(after.last_inference).toBeGreaterThan(1.7e12);
  for (const { ns } of Object.values(after.inference_stats)) expect(Number.isSafeInteger(ns)).toBe(true);
  const all = (await get('/v2/models/stats')).json<{ model_stats: Stats[] }>().model_stats.map(({ name }) => name);
  expect(all).toEqual(
    expect.arrayContaining(['tiny-resnet', 'tiny-resnet.encoded', 'tiny-resnet.heatmap', 'tiny-vgg']),
  );
  expect(await errorOf(get('/v2/models/nothing/stats'))).toMatch(/^404 /);
});

describe('the model repository', () => {
  const index = async (body = ''): Promise<{ name: string; state: string; reason: string; version?: string }[]> =>
    (await post('/v2/repository/index', body)).json();

  it('lists all models, or those that are ready', async () => {
    expect((await index()).find(({ name }) => name === 'tiny-vgg')).toEqual({
      name: 'tiny-vgg',
      version: '1',
      state: 'READY',
      reason: '',
    });
    await post('/v2/repository/models/tiny-vgg/unload', '{"parameters":{"unload_dependents":true}}', TOKEN);
    expect((await index('{}')).find(({ name }) => name === 'tiny-vgg')).toMatchObject({ state: 'UNAVAILABLE' });
    expect((await index('{"ready":true}')).map(({ name }) => name)).not.toContain('tiny-vgg');
    expect(await errorOf(get('/v2/models/tiny-vgg/ready'))).toMatch(/^503 .*is unloaded/);
    expect((await get('/v2/health/ready')).statusCode).toBe(200);
    expect((await post('/v2/repository/models/tiny-vgg/load', '{}', TOKEN)).statusCode).toBe(200);
    expect((await get('/v2/models/tiny-vgg/ready')).statusCode).toBe(200);
    expect(await errorOf(post('/v2/repository/index', '{"ready":1}'))).toMatch(/^400 .*ready: must be true or false/);
    expect(await errorOf(post('/v2/repository/index', 'x'))).toMatch(/^400 /);
  });

  it('is for those with the token, and places no files', async () => {
    for (const what of ['load', 'unload']) {
      expect(await errorOf(post(`/v2/repository/models/tiny-vgg/${what}`))).toMatch(/^401 /);
      expect(await errorOf(post(`/v2/repository/models/nothing/${what}`, '', TOKEN))).toMatch(/^404 /);
    }
    for (const what of ['load', 'unload']) {
      for (const parameters of [null, [], ['a'], 'a', 1, true]) {
        const body = JSON.stringify({ parameters });
        const answer = errorOf(post(`/v2/repository/models/tiny-vgg/${what}`, body, TOKEN));
        expect(await answer, `${what} ${body}`).toMatch(/^400 .*parameters: must be an object/);
      }
    }
    const override = JSON.stringify({ parameters: { 'file:1/model.onnx': 'AAAA' } });
    expect(await errorOf(post('/v2/repository/models/tiny-vgg/load', override, TOKEN))).toMatch(/^400 failed to load/);
  });
});
