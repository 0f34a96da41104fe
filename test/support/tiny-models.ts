/** Model folders with small nets and generated weights, made in a temporary folder: fast to load, real in every step. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArchitecture, parametersOf } from '../../src/architectures/index.js';
import { writeGeneratedWeights } from '../../src/models/networks/generated-weights.js';
import { kerasSources } from '../../src/models/keras-applications/sources.js';
import type { Manifest } from '../../src/models/manifest.js';
import { writeKerasFile } from './keras.js';

export const TINY_CLASSES = 10;

/** How the tiny nets want their input. */
export const INPUT: Manifest['input'] = {
  size: 64,
  resize: 72,
  interpolation: 'bilinear',
  channels: 'RGB',
  range: 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

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
  const folder = await writeManifest(root, {
    name,
    default: isDefault && name === kind,
    architecture,
    options,
    weights: { file: 'model.safetensors' },
  });
  await writeGeneratedWeights(
    join(folder, 'model.safetensors'),
    buildArchitecture(architecture, { ...options, classes: TINY_CLASSES }),
  );
}

/** Write a VGG of some thousand weights, for inputs of 16 pixels. Returns its folder. */
export async function writeSmallVgg(root: string, name: string): Promise<string> {
  const options = { width: 1, hidden: 3, poolings: 4, inputSize: 16 };
  const weights = 'model.safetensors';
  const folder = await writeManifest(root, {
    ...{ name, architecture: 'vgg11', options, weights: { file: weights } },
    input: { ...INPUT, size: 16, resize: 18 },
  });
  await writeGeneratedWeights(join(folder, weights), buildArchitecture('vgg11', { ...options, classes: TINY_CLASSES }));
  return folder;
}

/** Write a model folder without its weights, for inputs of 64 pixels unless the manifest says otherwise. */
export async function writeManifest(
  root: string,
  manifest: Pick<Manifest, 'name' | 'architecture' | 'weights'> & Partial<Manifest>,
  classes = TINY_CLASSES,
): Promise<string> {
  const folder = join(root, manifest.name);
  await mkdir(folder, { recursive: true });
  const whole: Manifest = { version: '1', labels: 'labels.json', input: INPUT, ...manifest };
  const labels = Array.from({ length: classes }, (_, index) => ({
    id: `id-${index}`,
    label: `thing, number ${index}`,
  }));
  await writeFile(join(folder, 'model.json'), JSON.stringify(whole));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(labels));
  return folder;
}

/** Write a model folder with the HDF5 file of a small ResNet of Keras. */
export async function writeKerasModel(root: string, name: string): Promise<string> {
  const options = { width: 8 };
  const folder = await writeManifest(root, {
    name,
    architecture: 'resnet50_v1',
    options,
    weights: { file: 'weights.h5' },
  });
  const built = buildArchitecture('resnet50_v1', { ...options, classes: TINY_CLASSES });
  const kinds = ['gamma', 'beta', 'moving_mean', 'moving_variance'];
  const shapes = kerasSources('resnet50_v1', parametersOf(built))!.flatMap(({ layer, index, kernel, dims }) => {
    if (kernel === undefined) return [[`${layer}/${layer === 'predictions' ? 'bias' : kinds[index]!}`, dims] as const];
    if (layer === 'predictions') return [[`${layer}/kernel`, kernel.slice(2)] as const];
    return [[`${layer}/kernel`, kernel] as const, [`${layer}/bias`, [kernel[3]]] as const];
  });
  await writeKerasFile(join(folder, 'weights.h5'), Object.fromEntries(shapes), { root: 'model_weights' });
  return folder;
}

/** Write a model folder whose weights are an ONNX file: the given bytes, for inputs of `size`. */
export async function writeOnnxModel(
  root: string,
  name: string,
  bytes: Uint8Array,
  { size, classes }: { readonly size: number; readonly classes: number },
): Promise<string> {
  const input = { ...INPUT, size, resize: size };
  const manifest = { name, architecture: 'onnx', weights: { file: 'model.onnx' }, input } as const;
  const folder = await writeManifest(root, manifest, classes);
  await writeFile(join(folder, 'model.onnx'), bytes);
  return folder;
}
