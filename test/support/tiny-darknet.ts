/** Tiny Darknet from the reference data as a model folder: a LayersModel as TensorFlow.js's converter wrote it, 31 shards. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageNetLabels } from './imagenet.js';
import { shared } from './shared.js';

/** The folder `tiny-darknet` below `root`. */
export async function writeTinyDarknet(root: string): Promise<void> {
  const folder = join(root, 'tiny-darknet');
  await mkdir(folder, { recursive: true });
  const names = new Map((await imageNetLabels()).map(({ id, label }) => [id, label]));
  const ids = (await readFile(shared('models/tiny-darknet/wnids.txt'), 'utf8')).trim().split('\n');
  const manifest = {
    name: 'tiny-darknet',
    version: '1',
    license: 'MIT',
    architecture: 'tfjs-layers',
    weights: { file: 'tfjs/model.json' },
    labels: 'labels.json',
    input: {
      size: 224,
      // The whole short side, bicubic: top-1 is right for 30 of the 51 photos, top-5 for 43. With resize 240, 256 or
      // 288 and bilinear, bicubic or Lanczos they are 27 to 30 and 40 to 43.
      resize: 224,
      interpolation: 'bicubic',
      channels: 'RGB',
      range: 255,
      mean: [0, 0, 0],
      std: [1, 1, 1],
    },
  };
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(ids.map((id) => ({ id, label: names.get(id) }))));
  await cp(shared('models/tiny-darknet'), join(folder, 'tfjs'), { recursive: true });
}
