/** Trained classifiers of ImageNet's classes, asked about the reference photographs through the whole server. */
import { readdir, readFile } from 'node:fs/promises';
import type { Label } from '../../src/models/manifest.js';
import type { TestApp } from './app.js';
import { shared } from './shared.js';

/** ImageNet's 1000 classes in the order of their index. */
export async function imageNetLabels(): Promise<Label[]> {
  const index = JSON.parse(await readFile(shared('labels/imagenet_class_index.json'), 'utf8')) as Record<
    string,
    [id: string, label: string]
  >;
  return Object.values(index).map(([id, label]) => ({ id, label: label.replaceAll('_', ' ') }));
}

async function post(app: TestApp, url: string, photo: string) {
  return app.http.inject({
    method: 'POST',
    url,
    headers: { accept: 'application/json' },
    payload: await readFile(shared(photo)),
  });
}

/** Counts on photographs of one class each: how many have their class first, and how many among the first five. */
export async function accuracyOnPhotos(app: TestApp): Promise<{ photos: number; top1: number; top5: number }> {
  const photos = await readdir(shared('photos'));
  const ranks = await Promise.all(
    photos.map(async (photo) => {
      const { results } = (await post(app, '/v1/classify?topK=5', `photos/${photo}`)).json<{
        results: { predictions: { id: string }[] }[];
      }>();
      return results[0]!.predictions.findIndex(({ id }) => id === photo.split('_')[0]);
    }),
  );
  const within = (k: number): number => ranks.filter((rank) => rank >= 0 && rank < k).length;
  return { photos: photos.length, top1: within(1), top5: within(5) };
}

/** The categories, of the photographs with polygons, that are exactly one class of ImageNet. */
const CLASSES: Readonly<Record<string, string>> = {
  zebra: 'n02391049',
  airplane: 'n02690373',
  banana: 'n07753592',
  elephant: 'n02504458',
};

interface Photo {
  readonly file: string;
  readonly objects: readonly { readonly category: string; readonly bbox_xywh: [number, number, number, number] }[];
}

interface Peak {
  readonly x: number;
  readonly y: number;
}

/** Counts on photographs with polygons: in how many the peak of the class's heatmap lies in an object's box. */
export async function peaksOnObjects(app: TestApp): Promise<{ photos: number; onObject: number }> {
  const photos = JSON.parse(await readFile(shared('coco/objects.json'), 'utf8')) as Photo[];
  const known = photos.filter(({ objects }) => objects.some(({ category }) => category in CLASSES));
  const inside = await Promise.all(
    known.map(async ({ file, objects }) => {
      const { category } = objects.find((object) => object.category in CLASSES)!;
      const response = await post(app, `/v1/heatmap?class=${CLASSES[category]!}`, `coco/${file}`);
      if (response.statusCode !== 200) throw new Error(response.body);
      const [result] = response.json<{ results: { classes: { peak: Peak }[] }[] }>().results;
      const { peak } = result!.classes[0]!;
      return objects.some(({ bbox_xywh: [x, y, w, h] }) => {
        return peak.x >= x && peak.x < x + w && peak.y >= y && peak.y < y + h;
      });
    }),
  );
  return { photos: known.length, onObject: inside.filter(Boolean).length };
}
