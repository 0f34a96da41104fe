/** Model folders with small nets and generated weights, made in a temporary folder: fast to load, real in every step. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArchitecture } from '../../src/architectures/index.js';
import { writeGeneratedWeights } from '../../src/models/generated-weights.js';
import type { Manifest } from '../../src/models/manifest.js';

export const TINY_CLASSES = 10;

const INPUT = {
  size: 64,
  resize: 72,
  interpolation: 'bilinear',
  channels: 'RGB',
  range: 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
} as const satisfies Manifest['input'];

const TINY = {
  'tiny-resnet': { architecture: 'resnet18', options: { width: 8, stem: 'compact' }, default: true },
  'tiny-vgg': { architecture: 'vgg11', options: { width: 8, hidden: 16, poolings: 4, inputSize: 64 }, default: false },
} as const;

/** Write `tiny-resnet` (default) and `tiny-vgg` into a new folder; the caller removes it. */
export async function writeTinyModels(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'fullconv-models-'));
  for (const name of Object.keys(TINY) as (keyof typeof TINY)[]) await writeTinyModel(root, name);
  return root;
}

export async function writeTinyModel(root: string, kind: keyof typeof TINY, name: string = kind): Promise<void> {
  const { architecture, options, default: isDefault } = TINY[kind];
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  const manifest: Manifest = {
    name,
    version: '1',
    default: isDefault && name === kind,
    architecture,
    options: { ...options },
    weights: { file: 'model.safetensors' },
    labels: 'labels.json',
    input: { ...INPUT, mean: [...INPUT.mean], std: [...INPUT.std] },
  };
  const labels = Array.from({ length: TINY_CLASSES }, (_, index) => ({
    id: `id-${index}`,
    label: `thing, number ${index}`,
  }));
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(labels));
  await writeGeneratedWeights(
    join(folder, 'model.safetensors'),
    buildArchitecture(architecture, { ...options, classes: TINY_CLASSES }),
  );
}

/** Write a model folder whose weights are an ONNX file: the given bytes, for inputs of `size`. */
export async function writeOnnxModel(
  root: string,
  name: string,
  bytes: Uint8Array,
  { size, classes }: { readonly size: number; readonly classes: number },
): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  const manifest: Manifest = {
    name,
    version: '1',
    architecture: 'onnx',
    weights: { file: 'model.onnx' },
    labels: 'labels.json',
    input: { ...INPUT, size, resize: size, mean: [...INPUT.mean], std: [...INPUT.std] },
  };
  const labels = Array.from({ length: classes }, (_, index) => ({ id: `id-${index}`, label: `thing ${index}` }));
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(labels));
  await writeFile(join(folder, 'model.onnx'), bytes);
  return folder;
}
