/** SqueezeNet 1.1 from the reference data as a model folder: half precision, operator set 7, BGR from 0 to 255. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageNetLabels } from './imagenet.js';
import { shared } from './shared.js';

/** The folder `squeezenet1_1` below `root`. */
export async function writeSqueezeNet(root: string): Promise<void> {
  const folder = join(root, 'squeezenet1_1');
  await mkdir(folder, { recursive: true });
  const labels = await imageNetLabels();
  const std = 1 / 255;
  const manifest = {
    name: 'squeezenet1_1',
    version: '1',
    license: 'MIT',
    architecture: 'onnx',
    weights: { file: 'SqueezeNet_fp16.onnx' },
    labels: 'labels.json',
    input: {
      size: 224,
      // The whole short side: top-1 is right for 31 of the 51 photos, top-5 for 43. With resize 256 (the outer eighth
      // cut off) they are 28 and 40.
      resize: 224,
      interpolation: 'bilinear',
      channels: 'BGR',
      range: 255,
      mean: [104 / 255, 117 / 255, 123 / 255],
      std: [std, std, std],
    },
  };
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(labels));
  await copyFile(shared('models/squeezenet1_1/SqueezeNet_fp16.onnx'), join(folder, 'SqueezeNet_fp16.onnx'));
}
