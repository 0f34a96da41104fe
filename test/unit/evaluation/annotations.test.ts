import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import { readAnnotations, readCategories } from '../../../src/evaluation/annotations.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-annotations-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(content: unknown): Promise<string> {
  const file = join(folder, 'annotations.json');
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

const COCO = {
  info: { year: 2017 },
  images: [{ id: 7, file_name: 'a.jpg', width: 4, height: 3, license: 1 }],
  categories: [
    { id: 1, name: 'cat' },
    { id: 2, name: 'dog' },
  ],
  annotations: [
    { image_id: 7, category_id: 1, bbox: [0.5, 1, 2, 1.5], segmentation: [[0, 1, 2, 1, 2, 3, 0, 3]] },
    { image_id: 7, category_id: 1, segmentation: { size: [3, 4], counts: [9, 3] } },
    { image_id: 7, category_id: 2, bbox: [1, 1, 2, 2] },
    { image_id: 7, category_id: 2, bbox: [0, 0, 4, 3], iscrowd: 1 },
  ],
};

describe('readAnnotations', () => {
  it('gathers the objects of a photograph by category, from COCO’s form', async () => {
    const cases = await readAnnotations(await written(COCO));
    expect(cases).toMatchObject([
      {
        file: 'a.jpg',
        photo: { width: 4, height: 3 },
        category: 'cat',
        boxes: [
          { left: 0.5, top: 1, width: 2, height: 1.5 },
          { left: 3, top: 0, width: 1, height: 3 },
        ],
      },
      { category: 'dog', boxes: [{ left: 1, top: 1, width: 2, height: 2 }] },
    ]);
    expect([...cases[0]!.mask()!.values].join('')).toBe('000111011101');
    expect(cases[1]!.mask()).toBeUndefined();
  });

  it('reads a list of photographs', async () => {
    const objects = [{ category: 'cat', bbox_xywh: [0, 0, 2, 2], polygons: [[0, 0, 2, 0, 2, 2, 0, 2]] }];
    const [only] = await readAnnotations(await written([{ file: 'b.jpg', width: 2, height: 2, objects }]));
    expect(only).toMatchObject({ file: 'b.jpg', category: 'cat' });
    expect([...only!.mask()!.values]).toEqual([1, 1, 1, 1]);
  });

  it('takes an empty segmentation for none', async () => {
    const box = { image_id: 7, category_id: 1, bbox: [1, 1, 2, 2], segmentation: [] };
    const annotations = [COCO.annotations[0], box, { ...box, category_id: 2 }];
    const cases = await readAnnotations(await written({ ...COCO, annotations }));
    expect(cases.map(({ category, boxes }) => [category, boxes.length])).toEqual([
      ['cat', 2],
      ['dog', 1],
    ]);
    expect(cases.map(({ mask }) => mask())).toEqual([undefined, undefined]);
    const objects = [{ category: 'cat', bbox_xywh: [0, 0, 2, 2], polygons: [] }];
    const [only] = await readAnnotations(await written([{ file: 'b.jpg', width: 2, height: 2, objects }]));
    expect(only!.mask()).toBeUndefined();
  });

  it.each([
    ['{', /is not JSON/],
    [{ images: [] }, /annotations/],
    [{ ...COCO, annotations: [{ image_id: 7, category_id: 1 }] }, /neither a box nor a segmentation/],
    [{ ...COCO, annotations: [{ image_id: 7, category_id: 1, segmentation: [] }] }, /neither a box nor a segmentation/],
    [{ ...COCO, annotations: [{ image_id: 7, category_id: 1, bbox: [0, 0, -1, 1] }] }, /bbox/],
  ])('says what is wrong: %o', async (content, message) => {
    const reading = readAnnotations(await written(content));
    await expect(reading).rejects.toThrow(OperatorError);
    await expect(reading).rejects.toThrow(message);
  });
});

describe('readCategories', () => {
  it('gives each category its classes', async () => {
    expect(await readCategories(await written({ dog: ['n1..n5', 'poodle'] }))).toEqual(
      new Map([['dog', ['n1..n5', 'poodle']]]),
    );
    await expect(readCategories(await written({ dog: 'poodle' }))).rejects.toThrow(OperatorError);
  });
});
