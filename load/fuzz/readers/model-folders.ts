/**
 * Folders of models. In each target one file is fuzzed; the model is read and compiled until its sessions could be opened, as
 * when the server loads it.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compileModel } from '../../../src/models/compile.js';
import { readModelFolder, type Manifest } from '../../../src/models/manifest.js';
import { writeManifest, writeSmallVgg } from '../../../test/support/tiny-models.js';
import type { Random } from '../../chaos/random.js';
import { changeJson, JSON_WORDS } from '../mutate.js';
import type { OpenTarget, Target } from '../target.js';
import { refusingModel } from './refusing.js';
import { LAYERS, layersModel, SHARDS, shards } from './tiny-layers.js';
import { externalFile, inlineFiles, OPERATORS, TINY } from './tiny-onnx.js';

/** The cache of converted weights is emptied after so many models. */
const MODELS_IN_CACHE = 100;

/** Load a model each time that one of its files has been replaced. */
async function inFolder(
  folder: string,
  file: string,
  more: Omit<OpenTarget, 'seeds' | 'run'> & { readonly seeds?: readonly Buffer[] } = {},
): Promise<OpenTarget> {
  const path = join(folder, file);
  const cache = join(folder, 'cache');
  let loads = 0;
  return {
    ...more,
    seeds: more.seeds ?? [await readFile(path)],
    async run(bytes) {
      await writeFile(path, bytes);
      loads += 1;
      if (loads % MODELS_IN_CACHE === 0) await rm(cache, { recursive: true, force: true });
      await refusingModel(async () => compileModel(await readModelFolder(folder), { load: 1, cache }));
    },
  };
}

const VGG_WEIGHTS = 'model.safetensors';

export const manifest: Target = {
  async open(root) {
    const folder = await writeSmallVgg(root, 'manifest');
    return inFolder(folder, 'model.json', { words: JSON_WORDS, mutate: changeJson });
  },
};

export const labels: Target = {
  async open(root) {
    const folder = await writeSmallVgg(root, 'labels');
    return inFolder(folder, 'labels.json', { words: JSON_WORDS, mutate: changeJson });
  },
};

export const safetensors: Target = {
  async open(root) {
    const folder = await writeSmallVgg(root, 'safetensors');
    const words = ['F32', 'F16', 'BF16', 'I64', 'data_offsets', '"shape":[', '__metadata__', '{}', '\0\0\0\0\0\0\0\0'];
    return inFolder(folder, VGG_WEIGHTS, { words, mutate: changeHeader });
  },
};

/** Change the header and give its right length, so that the reader comes to it. */
function changeHeader(random: Random, original: Buffer): Buffer {
  if (original.length < 8) return original;
  const length = Math.min(Number(original.readBigUInt64LE()), original.length - 8);
  const changed = changeJson(random, original.subarray(8, 8 + length));
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(BigInt(changed.length));
  return Buffer.concat([header, changed, original.subarray(8 + length)]);
}

const onnxModel = (name: string, root: string): Promise<string> =>
  writeManifest(root, { name, architecture: 'onnx', weights: { file: 'model.onnx' }, input: tinyInput() });

function tinyInput(): Manifest['input'] {
  return {
    ...{ size: TINY.size, resize: TINY.size, interpolation: 'bilinear', channels: 'RGB', range: 255 },
    ...{ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  };
}

export const onnx: Target = {
  async open(root) {
    const folder = await onnxModel('onnx', root);
    const external = externalFile('weights.bin');
    await writeFile(join(folder, 'weights.bin'), external.weights);
    const seeds = [...inlineFiles(), external.bytes];
    return inFolder(folder, 'model.onnx', { seeds, words: [...OPERATORS, 'weights.bin', '../model.json'] });
  },
};

async function writeLayersModel(root: string, name: string): Promise<string> {
  const folder = await writeManifest(root, {
    ...{ name, architecture: 'tfjs-layers', weights: { file: 'net.json' } },
    input: tinyInput(),
  });
  await writeFile(join(folder, 'net.json'), layersModel());
  for (const [index, bytes] of shards().entries()) await writeFile(join(folder, SHARDS[index]!), bytes);
  return folder;
}

export const tfjs: Target = {
  open: async (root) =>
    inFolder(await writeLayersModel(root, 'tfjs'), 'net.json', {
      words: [...LAYERS, ...JSON_WORDS],
      mutate: changeJson,
    }),
};

export const tfjsShard: Target = {
  open: async (root) => inFolder(await writeLayersModel(root, 'tfjs-shard'), SHARDS[1]!),
};
