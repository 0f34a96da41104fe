import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { TINY_CLASSES } from '../support/tiny-models.js';

interface Heatmaps {
  results: {
    width: number;
    height: number;
    input: { width: number; height: number; scale: number };
    map: { height: number; width: number; outputStride: number; offset: number; receptiveField: number };
    classes: {
      index: number;
      id: string;
      label: string;
      peak: { x: number; y: number; value: number };
      box: { x: number; y: number; width: number; height: number };
      values: number[][];
      level: number;
      share: number;
      mean: number;
      regions: { share: number; box: object }[];
      normalizedFrom?: { low: number; high: number };
    }[];
    problem?: { code: string };
  }[];
}

let app: TestApp;
let cat: Buffer;
let grace: Buffer;
beforeAll(async () => {
  app = await startTestApp();
  [cat, grace] = (await Promise.all(
    ['chelsea.png', 'grace_hopper.jpg'].map((name) => readFile(new URL(`../fixtures/photos/${name}`, import.meta.url))),
  )) as [Buffer, Buffer];
});
afterAll(() => app.close());

const post = (query: string, payload: Buffer, accept = 'application/json', type = 'image/png') =>
  app.http.inject({ method: 'POST', url: `/v1/heatmap${query}`, headers: { accept, 'content-type': type }, payload });
async function mapsOf(query: string, payload: Buffer) {
  const response = await post(query, payload);
  expect(response.statusCode, response.body).toBe(200);
  return response.json<Heatmaps>().results[0]!;
}
const everyClass = Array.from({ length: TINY_CLASSES }, (_, index) => `class=${index}`).join('&');

describe('the maps', () => {
  it('hold a probability over classes at each position', async () => {
    const { classes, map } = await mapsOf(`?${everyClass}&size=96`, cat);
    expect(classes.map(({ index }) => index)).toEqual(Array.from({ length: TINY_CLASSES }, (_, index) => index));
    for (let y = 0; y < map.height; y++) {
      for (let x = 0; x < map.width; x++) {
        expect(classes.reduce((sum, { values }) => sum + values[y]![x]!, 0)).toBeCloseTo(1, 4);
      }
    }
  });

  it.each(['tiny-resnet', 'tiny-vgg'])('of logits have the mean that classification gives (%s)', async (model) => {
    const query = `&model=${model}&size=96&fit=whole&scores=logit`;
    const { classes } = await mapsOf(`?${everyClass}${query}`, cat);
    const answer = await app.http.inject({
      method: 'POST',
      url: `/v1/classify?topK=${TINY_CLASSES}${query}`,
      payload: cat,
    });
    const { results } = answer.json<{ results: { predictions: { index: number; logit: number }[] }[] }>();
    for (const { index, logit } of results[0]!.predictions) {
      const values = classes[index]!.values.flat();
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(Math.abs(mean - logit)).toBeLessThan(1e-4 * Math.max(1, Math.abs(logit)));
    }
  });

  it('shrink by the window of a head that slides, and say where their cells are', async () => {
    const { map, input } = await mapsOf('?model=tiny-vgg&size=128', cat);
    expect(input).toEqual({ width: 192, height: 128, scale: 1 });
    expect(map).toMatchObject({
      width: (192 - 64) / 16 + 1,
      height: (128 - 64) / 16 + 1,
      outputStride: 16,
      offset: 32,
    });
  });

  it.each([
    ['tiny-resnet', 'valid'],
    ['tiny-resnet', 'same'],
    ['tiny-vgg', 'valid'],
    ['tiny-vgg', 'same'],
  ])('of a finer output stride hold the coarse ones, and choose the same class (%s, edge=%s)', async (model, edge) => {
    const query = `?model=${model}&size=112&scores=logit&class=top&class=3`;
    const coarse = await mapsOf(`${query}&edge=${edge}`, cat);
    for (const outputStride of [8, 4]) {
      const rate = 16 / outputStride;
      const { map, classes } = await mapsOf(`${query}&edge=${edge}&outputStride=${outputStride}`, cat);
      expect(map).toMatchObject({ ...coarse.map, outputStride, width: map.width, height: map.height });
      expect([Math.ceil(map.width / rate), Math.ceil(map.height / rate)]).toEqual([
        coarse.map.width,
        coarse.map.height,
      ]);
      classes.forEach(({ index, values }, position) => {
        const expected = coarse.classes[position]!;
        expect(index).toBe(expected.index);
        expected.values.forEach((row, y) =>
          row.forEach((value, x) => expect(values[y * rate]![x * rate]).toBeCloseTo(value, 3)),
        );
      });
    }
  });

  it('of edge=same cover the image, around the windows of edge=valid', async () => {
    const query = '?model=tiny-vgg&size=128&class=2&class=top&scores=logit';
    const [valid, same] = [await mapsOf(`${query}&edge=valid`, cat), await mapsOf(`${query}&edge=same`, cat)];
    expect(same.map).toMatchObject({ width: 192 / 16, height: 128 / 16, offset: valid.map.offset - 16 });
    expect(same.classes.map(({ index }) => index)).toEqual(valid.classes.map(({ index }) => index));
    valid.classes[0]!.values.forEach((row, y) =>
      row.forEach((value, x) => expect(same.classes[0]!.values[y + 1]![x + 1]).toBeCloseTo(value, 3)),
    );
    const pooled = await Promise.all(['valid', 'same'].map((edge) => mapsOf(`?size=128&class=2&edge=${edge}`, cat)));
    expect(pooled[1]!.map).toEqual(pooled[0]!.map);
  });

  it('of the default class are those of the best class of the whole image', async () => {
    const { classes } = await mapsOf('?size=96', cat);
    const answer = await app.http.inject({
      method: 'POST',
      url: '/v1/classify?topK=1&size=96&fit=whole',
      payload: cat,
    });
    const { results } = answer.json<{ results: { predictions: { index: number }[] }[] }>();
    expect(classes).toHaveLength(1);
    expect(classes[0]!.index).toBe(results[0]!.predictions[0]!.index);
  });

  it('are asked for by index, id and label in any case', async () => {
    const { classes } = await mapsOf('?class=3&class=ID-3&class=Thing,+Number+3&class=top', cat);
    expect(classes.slice(0, 3).map(({ index }) => index)).toEqual([3, 3, 3]);
    expect(classes[0]!.values).toEqual(classes[1]!.values);
  });

  it('of the image’s own best classes are in the order of classification', async () => {
    const answer = await app.http.inject({
      method: 'POST',
      url: `/v1/classify?topK=${TINY_CLASSES}&size=96&fit=whole`,
      payload: cat,
    });
    const { results } = answer.json<{ results: { predictions: { index: number }[] }[] }>();
    const ranking = results[0]!.predictions.map(({ index }) => index);
    const indicesOf = async (query: string) =>
      (await mapsOf(`?size=96&${query}`, cat)).classes.map(({ index }) => index);
    expect(await indicesOf('top=7')).toEqual(ranking.slice(0, 7));
    expect(await indicesOf('top=2&class=4&class=top')).toEqual([4, ranking[0], ranking[0], ranking[1]]);
    // No more than the model has.
    expect(await indicesOf('top=32')).toEqual(ranking);
  });

  it.each(['probability', 'logit'])(
    'of class=none are the best of all classes at each position (%s)',
    async (scores) => {
      const query = `size=96&scores=${scores}`;
      const { classes } = await mapsOf(`?${everyClass}&class=none&${query}`, cat);
      const any = classes.at(-1)!;
      expect(any).toMatchObject({ id: 'none' });
      expect(any).not.toHaveProperty('index');
      any.values.forEach((row, y) =>
        row.forEach((value, x) => {
          expect(value).toBeCloseTo(Math.max(...classes.slice(0, -1).map(({ values }) => values[y]![x]!)), 4);
        }),
      );
      const alone = await mapsOf(`?class=none&${query}`, cat);
      expect(alone.classes).toHaveLength(1);
      expect(alone.classes[0]!.values).toEqual(any.values);
    },
  );

  it('are scaled to 0 … 1 each by its own extremes with scores=normalized', async () => {
    const query = '?class=1&class=2&size=96&scale=1,1.5&scores=';
    const [normalized, logits] = await Promise.all(['normalized', 'logit'].map((kind) => mapsOf(query + kind, cat)));
    normalized!.classes.forEach(({ values, peak, normalizedFrom }, position) => {
      const raw = logits!.classes[position]!.values.flat();
      const [low, high] = [Math.min(...raw), Math.max(...raw)];
      expect(peak.value).toBe(1);
      expect(Math.min(...values.flat())).toBe(0);
      expect(normalizedFrom!.low).toBeCloseTo(low, 3);
      values.flat().forEach((value, cell) => expect(value).toBeCloseTo((raw[cell]! - low) / (high - low), 3));
    });
  });

  it('come with the regions above a threshold, of the range or of the values', async () => {
    const { classes } = await mapsOf('?class=1&size=96&threshold=0&thresholdOf=range', cat);
    expect(classes[0]).toMatchObject({ share: 1, regions: [{ share: 1, box: classes[0]!.box }] });
    const of = async (query: string) => (await mapsOf(`?class=1&size=96&${query}`, cat)).classes[0]!;
    const half = await of('');
    expect(half.level).toBeLessThan(half.peak.value);
    expect(half.regions.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(half.share, 5);
    expect((await of(`thresholdOf=value&threshold=${half.level.toFixed(9)}`)).share).toBeCloseTo(half.share, 1);
    expect(await of('thresholdOf=value&threshold=1')).toMatchObject({ share: 0, regions: [] });
    expect(await of('thresholdOf=value&threshold=1')).not.toHaveProperty('box');
  });

  it('of an image are the same alone and among others of other sizes', async () => {
    const tall = await sharp(grace).resize(100, 300, { fit: 'fill' }).png().toBuffer();
    const images = [cat, tall, grace, cat].map((bytes) => ({ base64: bytes.toString('base64') }));
    const many = await post(
      '?class=2',
      Buffer.from(JSON.stringify({ images })),
      'application/json',
      'application/json',
    );
    expect(many.statusCode, many.body).toBe(200);
    const { results } = many.json<Heatmaps>();
    const alone = await Promise.all([cat, tall, grace].map((bytes) => mapsOf('?class=2', bytes)));
    for (const [position, single] of [alone[0]!, alone[1]!, alone[2]!, alone[0]!].entries()) {
      expect(results[position]!.map).toEqual(single.map);
      results[position]!.classes[0]!.values.flat().forEach((value, cell) => {
        expect(value).toBeCloseTo(single.classes[0]!.values.flat()[cell]!, 4);
      });
    }
  });

  it('of a mirrored photo are mirrored, and flip averages the two', async () => {
    // 160×96 pixels in, an odd number of columns, so that the cells of the mirrored input lie on those of the input.
    const photo = await sharp(cat).resize(161, 97, { fit: 'fill' }).png().toBuffer();
    const mirrored = await sharp(photo).flop().toBuffer();
    const query = '?class=1&fit=native&scores=logit';
    const [plain, other, flip] = await Promise.all([
      mapsOf(query, photo),
      mapsOf(query, mirrored),
      mapsOf(`${query}&flip`, photo),
    ]);
    const [a, b, both] = [plain, other, flip].map(({ classes }) => classes[0]!.values);
    const { width } = plain.map;
    both!.forEach((row, y) =>
      row.forEach((value, x) => {
        const expected = (a![y]![x]! + b![y]![width - 1 - x]!) / 2;
        expect(Math.abs(value - expected)).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected)));
      }),
    );
  });

  it('of several scales are averaged on the cells of the finest, where the others’ cells are', async () => {
    const query = '?class=1&size=64&scores=logit&scale=';
    const [coarse, fine, both] = await Promise.all(['1', '2', '1,2'].map((scale) => mapsOf(query + scale, cat)));
    expect(both!.input).toEqual(fine!.input);
    expect(both!.map).toEqual(fine!.map);
    /** The coarse map at an input position of the fine one: between four cells, clamped at the border. */
    const coarseAt = (x: number, y: number): number => {
      const { map, classes, input } = coarse!;
      const cellOf = (position: number, from: number, to: number, cells: number): number =>
        Math.min(Math.max(((position * to) / from - map.offset) / map.outputStride, 0), cells - 1);
      const cx = cellOf(x, fine!.input.width, input.width, map.width);
      const cy = cellOf(y, fine!.input.height, input.height, map.height);
      const [x0, y0] = [Math.min(Math.floor(cx), map.width - 2), Math.min(Math.floor(cy), map.height - 2)];
      const { values } = classes[0]!;
      const row = (at: number): number => values[at]![x0]! * (x0 + 1 - cx) + values[at]![x0 + 1]! * (cx - x0);
      return row(y0) * (y0 + 1 - cy) + row(y0 + 1) * (cy - y0);
    };
    both!.classes[0]!.values.forEach((cells, y) =>
      cells.forEach((value, x) => {
        const { offset, outputStride } = fine!.map;
        const other = coarseAt(offset + x * outputStride, offset + y * outputStride);
        const expected = (fine!.classes[0]!.values[y]![x]! + other) / 2;
        expect(Math.abs(value - expected)).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected)));
      }),
    );
  });

  it('of the best class are of the best over all scales, whatever their order', async () => {
    for (const photo of [cat, grace]) {
      const [one, other] = await Promise.all(['0.3,1,3', '3,0.3,1'].map((scale) => mapsOf(`?scale=${scale}`, photo)));
      expect(one!.classes[0]!.index).toBe(other!.classes[0]!.index);
    }
  });
});

describe('the forms', () => {
  it('a picture is at the photo’s own size, and the default', async () => {
    for (const accept of ['image/png', '*/*', 'image/*']) {
      const response = await post('', grace, accept, 'image/jpeg');
      expect(response.statusCode, response.body).toBe(200);
      expect(response.headers['content-type']).toBe('image/png');
      expect(response.headers.vary).toBe('Accept');
      expect(await sharp(response.rawPayload).metadata()).toMatchObject({ format: 'png', width: 512, height: 600 });
    }
  });

  it('heat and gray16 show the map alone', async () => {
    const gray = await post('?render=gray16&range=minmax', cat, 'image/png');
    expect(await sharp(gray.rawPayload).metadata()).toMatchObject({ depth: 'ushort', channels: 1, width: 451 });
    const stats = await sharp(gray.rawPayload).stats();
    expect(stats.channels[0]!.max - stats.channels[0]!.min).toBeGreaterThan(30_000);
    const heat = await post('?render=heat&colormap=magma', cat, 'image/png');
    expect(await sharp(heat.rawPayload).metadata()).toMatchObject({ width: 451, height: 300, channels: 3 });
  });

  it.each(['image/webp', 'image/avif'])('%s is a picture too, upright, and as wide as asked for', async (accept) => {
    const lying = await sharp(grace).withMetadata({ orientation: 6 }).toBuffer();
    const response = await post('?width=300&legend', lying, accept, 'image/jpeg');
    expect(response.statusCode, response.body).toBe(200);
    expect(response.headers['content-type']).toBe(accept);
    // 512×600 pixels, lying on their side.
    const { width, height } = await sharp(response.rawPayload).metadata();
    expect(width).toBe(300);
    expect(height).toBeGreaterThan(256);
    expect(height).toBeLessThan(300);
  });

  it('a sheet shows the photo and several classes', async () => {
    const sheet = await post('?render=sheet', cat, 'image/png');
    expect(sheet.statusCode, sheet.body).toBe(200);
    expect(await sharp(sheet.rawPayload).metadata()).toMatchObject({ width: 1200, channels: 3 });
    expect(String(sheet.headers['fullconv-classes']).split(', ')).toHaveLength(3);
    const two = await post('?render=sheet&class=1&class=none&width=500', cat, 'image/png');
    expect(await sharp(two.rawPayload).metadata()).toMatchObject({ width: 500 });
    expect(two.headers['fullconv-classes']).toBe('1;id="id-1", -1;id="none"');
  });

  it('contours leave most of the photo as it is', async () => {
    const { rawPayload } = await post('?render=contours&scores=normalized', cat, 'image/png');
    const [drawn, photo] = await Promise.all(
      [rawPayload, cat].map((bytes) => sharp(bytes).removeAlpha().raw().toBuffer()),
    );
    const changed = drawn!.filter((value, i) => value !== photo![i]).length / drawn!.length;
    expect(changed).toBeGreaterThan(0.001);
    expect(changed).toBeLessThan(0.4);
  });

  it('x-npy is float32 [classes, h, w] with the values of the JSON, and headers that explain them', async () => {
    const response = await post('?class=1&class=2&scores=logit', cat, 'application/x-npy');
    expect(response.statusCode, response.body).toBe(200);
    const { map, classes } = await mapsOf('?class=1&class=2&scores=logit', cat);
    const bytes = response.rawPayload;
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from('\x93NUMPY\x01\x00', 'latin1'));
    const headerLength = bytes.readUInt16LE(8);
    expect(bytes.subarray(10, 10 + headerLength).toString()).toContain(`'shape': (2, ${map.height}, ${map.width})`);
    const data = bytes.subarray(10 + headerLength);
    expect(data.length).toBe(2 * map.height * map.width * 4);
    expect(data.readFloatLE(0)).toBeCloseTo(classes[0]!.values[0]![0]!, 3);
    expect(response.headers['fullconv-classes']).toBe('1;id="id-1", 2;id="id-2"');
    expect(response.headers['fullconv-map']).toContain(`height=${map.height}, width=${map.width}, output-stride=16`);
    expect(response.headers['fullconv-model-digest']).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('what is refused, and how', () => {
  it.each([
    ['', 'text/html', 406, 'NOT_ACCEPTABLE', /image\/png.*application\/json.*application\/x-npy/],
    ['?class=1&class=2', 'image/png', 406, 'NOT_ACCEPTABLE', /one class/],
    ['?class=unicorn', 'image/png', 404, 'CLASS_NOT_FOUND', /unicorn/],
    ['?class=thing,+numbr+3', 'image/png', 404, 'CLASS_NOT_FOUND', /nearest labels are .{0,3}thing, number 3/i],
    ['?class=10', 'image/png', 404, 'CLASS_NOT_FOUND', /0 to 9/],
    ['?outputStride=12', 'image/png', 422, 'OUTPUT_UNSUPPORTED', /one of: 16, 8, 4/],
    ['?edge=around', 'image/png', 400, 'INVALID_REQUEST', /valid/],
    ['?model=tiny-vgg&edge=same&size=40', 'image/png', 422, 'OUTPUT_UNSUPPORTED', /64/],
    ['?model=tiny-vgg&size=40', 'image/png', 422, 'OUTPUT_UNSUPPORTED', /64/],
    [
      '?size=2000&fit=stretch&outputStride=8',
      'image/png',
      422,
      'IMAGE_TOO_LARGE',
      /times the cost.*coarser outputStride/,
    ],
    ['?colormap=jet', 'image/png', 400, 'INVALID_REQUEST', /viridis/],
    ['?threshold=1.5', 'image/png', 400, 'INVALID_REQUEST', /threshold.*from 0 to 1.*thresholdOf/],
    ['?top=33', 'image/png', 400, 'INVALID_REQUEST', /top.*1 to 32/],
    [`?top=32&class=1`, 'application/json', 400, 'INVALID_REQUEST', /top.*at most 32 together/],
    ['?top=2', 'image/png', 406, 'NOT_ACCEPTABLE', /one class/],
    ['?render=gray16', 'image/webp', 406, 'NOT_ACCEPTABLE', /16-bit/],
    ['?width=0', 'image/png', 400, 'INVALID_REQUEST', /width/],
    ['?width=16384', 'image/png', 422, 'IMAGE_TOO_LARGE', /width/],
    ['?alpha=2', 'image/png', 400, 'INVALID_REQUEST', /1/],
  ])('%s as %s is %i %s', async (query, accept, status, code, detail) => {
    const response = await post(query, cat, accept);
    expect(response.statusCode, response.body).toBe(status);
    expect(response.json()).toMatchObject({ code, status });
    expect(response.body).toMatch(detail);
  });

  it('pictures that WebP or AVIF cannot hold are 422 and name the width; PNG holds them', async () => {
    const flat = (width: number, height: number) =>
      sharp({ create: { width, height, channels: 3, background: '#456' } })
        .png()
        .toBuffer();
    const [wide, tall, small] = await Promise.all([flat(16_500, 10), flat(10, 16_500), flat(410, 2)]);
    for (const [query, payload, accept, status] of [
      ['?fit=stretch&render=heat', wide, 'image/webp', 422],
      ['?fit=stretch&render=heat', tall, 'image/webp', 422],
      ['?fit=stretch&render=heat', wide, 'image/avif', 422],
      ['?fit=stretch&render=heat', wide, 'image/png', 200],
      ['?fit=stretch&render=heat&width=16384', small, 'image/webp', 422],
      ['?fit=stretch&render=heat&width=16383', small, 'image/webp', 200],
      // With the bar of colours below it.
      ['?fit=stretch&render=heat&width=9&legend=true', await flat(9, 16_380), 'image/webp', 422],
      ['?fit=stretch&render=sheet&class=0&width=16384', small, 'image/webp', 422],
    ] as const) {
      const response = await post(query, payload, accept);
      expect(response.statusCode, `${query} ${accept}: ${response.body.slice(0, 300)}`).toBe(status);
      if (status === 200) continue;
      expect(response.json()).toMatchObject({ code: 'IMAGE_TOO_LARGE', errors: [{ parameter: 'width' }] });
      expect(response.body).toMatch(/the limit of (webp is 16383|avif is 16384) pixels a side/);
    }
    const labels = await app.http.inject({
      ...{ method: 'POST', url: '/v1/segment?fit=stretch', payload: wide },
      headers: { accept: 'image/webp', 'content-type': 'image/png' },
    });
    expect(labels.statusCode).toBe(422);
    expect(labels.json()).toMatchObject({ errors: [{ parameter: 'width' }] });
  });

  it('a legend of many pixels below a flat picture is refused before it is drawn', async () => {
    const flat = { width: 30_000, height: 10, channels: 3, background: '#456' } as const;
    const payload = await sharp({ create: flat }).png().toBuffer();
    const response = await post('?fit=stretch&render=heat&legend=true', payload, 'image/png');
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      detail:
        'The picture would be 30000×10 pixels; its legend alone would have 28920000 pixels; the limit is 12500000.',
      errors: [{ parameter: 'width' }],
      limit: { name: 'picture_pixels', value: 12_500_000, needed: 28_920_000 },
    });
  });

  it('two classes are given as JSON to a client that takes anything', async () => {
    const response = await post('?class=1&class=2', cat, '*/*');
    expect(response.headers['content-type']).toMatch('application/json');
  });

  it('many images as a picture: 406 with the reason', async () => {
    const images = [cat, cat].map((bytes) => ({ base64: bytes.toString('base64') }));
    const response = await post('', Buffer.from(JSON.stringify({ images })), 'image/png', 'application/json');
    expect(response.statusCode).toBe(406);
    expect(response.json<{ detail: string }>().detail).toMatch(/one image.*application\/json/);
  });
});

describe('large answers', () => {
  const fine = 'fit=stretch&outputStride=4';

  it('are streamed as JSON, with the values of the array', async () => {
    const query = `?${fine}&size=384&class=1&class=2&class=none`;
    const [text, array] = await Promise.all([post(query, cat), post(query, cat, 'application/x-npy')]);
    expect(text.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(text.headers['content-length']).toBeUndefined();
    const { map, classes } = text.json<Heatmaps>().results[0]!;
    expect(map).toMatchObject({ width: 96, height: 96 });
    expect(array.headers['content-length']).toBe(String(array.rawPayload.length));
    const data = array.rawPayload.subarray(10 + array.rawPayload.readUInt16LE(8));
    const values = new Float32Array(new Uint8Array(data).buffer);
    expect(Float32Array.from(classes.flatMap((each) => each.values.flat()))).toEqual(values);
  });

  it('are the text that a short answer would be', async () => {
    const short = await post('?size=64&class=1', cat);
    expect(short.headers['content-length']).toBe(String(short.rawPayload.length));
    expect(short.headers['content-type']).toBe('application/json; charset=utf-8');
    const { results } = short.json<Heatmaps>();
    expect(Object.keys(results[0]!.classes[0]!)).toEqual([
      'id',
      'label',
      'peak',
      'level',
      'share',
      'regions',
      'mean',
      'values',
      'index',
      'box',
    ]);
  });

  it('hold no model while a client does not read them', async () => {
    const own = await startTestApp();
    await own.http.listen({ host: '127.0.0.1', port: 0 });
    const { port } = own.http.server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      `POST /v1/heatmap?${fine}&size=960&${everyClass} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n` +
        `Content-Length: ${cat.length}\r\n\r\n`,
    );
    socket.write(cat);
    const [first] = (await once(socket, 'data')) as [Buffer];
    socket.pause();
    expect(first.toString('latin1')).toMatch(/^HTTP\/1.1 200 OK/);
    expect(await own.service.registry.unload('tiny-resnet')).toMatchObject({ state: 'unloaded' });
    // The answer goes on nevertheless, to its end.
    let end = '';
    let length = first.length;
    socket.on('data', (chunk: Buffer) => {
      length += chunk.length;
      end = (end + chunk.toString('latin1')).slice(-200);
    });
    socket.resume();
    while (!end.endsWith('0\r\n\r\n')) await once(socket, 'data');
    expect(length).toBeGreaterThan(240 * 240 * TINY_CLASSES * 5);
    expect(end).toContain('"timing":{');
    socket.destroy();
    await own.close();
  });

  it('are refused as JSON on the plan, with the limit and what to ask for', async () => {
    const many = Array.from({ length: 32 }, () => 'class=1').join('&');
    const ask = (images: number, size: number) =>
      post(
        `?${fine}&size=${size}&${many}`,
        Buffer.from(
          JSON.stringify({ images: Array.from({ length: images }, () => ({ base64: cat.toString('base64') })) }),
        ),
        'application/json',
        'application/json',
      );
    const three = await ask(3, 900);
    expect(three.statusCode, three.body).toBe(422);
    expect(three.json()).toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    expect(three.json<{ detail: string }>().detail).toMatch(
      /^The answer would have at least 4860000 map values.* limit is 4194304.*fewer images, or application\/x-npy/,
    );
  });
});

describe('an input beyond the limit', () => {
  let small: TestApp;
  beforeAll(async () => {
    small = await startTestApp({ FULLCONV_MAX_INPUT_PIXELS: '40000', FULLCONV_WORKERS: '1' });
  });
  afterAll(() => small.close());

  it.each([
    ['fit=native&scale=0.2,', 'scale', 3, 0.01],
    ['size=64&scale=', 'scale', 20, 0.01],
    ['size=', 'size', 600, 1],
    ['fit=stretch&size=', 'size', 601, 1],
    ['fit=crop&outputStride=8&size=', 'size', 500, 1],
  ])('is refused with the largest that is taken (%s)', async (query, parameter, asked, step) => {
    const ask = (value: number) =>
      small.http.inject({
        method: 'POST',
        url: `/v1/heatmap?${query}${Number(value.toFixed(2))}`,
        headers: { accept: 'application/x-npy' },
        payload: cat,
      });
    const refused = await ask(asked);
    expect(refused.statusCode).toBe(422);
    const [error] = refused.json<{ errors: { parameter: string; detail: string }[] }>().errors;
    expect(error).toEqual({
      parameter,
      detail: expect.stringMatching(
        new RegExp(`^${parameter}=${asked} is too large for this image; at most`),
      ) as string,
    });
    const largest = Number(/at most ([\d.]+)$/.exec(error!.detail)![1]);
    expect((await ask(largest)).statusCode).toBe(200);
    expect((await ask(largest + step)).statusCode).toBe(422);
  });
});

describe('tiles', () => {
  let small: TestApp;
  let large: Buffer;
  beforeAll(async () => {
    small = await startTestApp({ FULLCONV_MAX_INPUT_PIXELS: String(700 * 700), FULLCONV_WORKERS: '2' });
    large = await sharp(cat).resize(1237, 901, { fit: 'fill' }).png().toBuffer();
  });
  afterAll(() => small.close());

  const ask = (of: TestApp, query: string) =>
    of.http.inject({
      method: 'POST',
      url: `/v1/heatmap?fit=native&class=1&class=7&class=none&scores=logit&${query}`,
      headers: { accept: 'application/json' },
      payload: large,
    });

  it.each([
    'model=tiny-vgg',
    'model=tiny-vgg&edge=same',
    'model=tiny-vgg&outputStride=8&scale=0.7',
    'model=tiny-resnet',
    'model=tiny-vgg&flip',
  ])('give the maps that the whole gives (%s)', async (query) => {
    const [tiled, whole] = await Promise.all([ask(small, `tiles&${query}`), ask(app, query)]);
    expect(tiled.statusCode, tiled.body).toBe(200);
    const [parts, one] = [tiled, whole].map((response) => response.json<Heatmaps>().results[0]!);
    expect(parts!.map).toEqual(one!.map);
    parts!.classes.forEach(({ values }, position) => {
      const expected = one!.classes[position]!.values.flat();
      const worst = values.flat().reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
      expect(worst).toBeLessThan(1e-3 * Math.max(...expected.map(Math.abs)));
    });
  });

  it('serve the image’s own best class, and segments', async () => {
    const headers = { accept: 'application/json' };
    const url = 'fit=native&tiles&model=tiny-vgg';
    const top = await small.http.inject({ method: 'POST', url: `/v1/heatmap?${url}&top=2`, headers, payload: large });
    expect(top.json<Heatmaps>().results[0]!.classes).toHaveLength(2);
    const segments = async (of: TestApp) =>
      (await of.http.inject({ method: 'POST', url: `/v1/segment?${url}`, headers, payload: large })).json<{
        results: { classes: object[] }[];
      }>().results[0]!.classes;
    expect(await segments(small)).toEqual(await segments(app));
  });

  it('are not made unasked, nor where the receptive field leaves nothing of them', async () => {
    for (const query of ['model=tiny-vgg', 'tiles&model=tiny-resnet&outputStride=4']) {
      const response = await ask(small, query);
      expect(response.statusCode).toBe(422);
      expect(response.body).toMatch(/scale=1 is too large for this image; at most 0\.\d/);
    }
  });
});
