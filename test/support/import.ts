/** Converts the files of test/fixtures/import, loads the results as the server does, and runs them. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadNetwork } from '../../src/models/compile.js';
import type { Conversion, Stated } from '../../src/models/import/conversion.js';
import { convertKerasFile } from '../../src/models/import/keras-file.js';
import { convertPytorchFile } from '../../src/models/import/pytorch-file.js';
import { convertTfjsGraphFile } from '../../src/models/import/tfjs-graph-file.js';
import type { Manifest } from '../../src/models/manifest.js';
import type { Network } from '../../src/models/networks/network.js';
import sharp from 'sharp';
import { runGraph, type Value } from './ort.js';

export const DRAFT_WORKER_FILE = fileURLToPath(new URL('../../dist/models/import/draft-worker.js', import.meta.url));

const CONVERTERS = {
  keras: convertKerasFile,
  pytorch: convertPytorchFile,
  'tfjs-graph': convertTfjsGraphFile,
};
type Format = keyof typeof CONVERTERS;

/** The path of a file in test/fixtures/import. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/import/${name}`, import.meta.url));
}

export interface Expected {
  readonly size: number;
  readonly output: readonly number[];
  /** What it computes of pixels from −1 to 1. */
  readonly normalized?: readonly number[];
}

/** What the format's own library computed, by file. */
export async function expectedOutputs(name: string): Promise<Readonly<Record<string, Expected>>> {
  return JSON.parse(await readFile(fixture(name), 'utf8')) as Readonly<Record<string, Expected>>;
}

export interface Imported {
  readonly conversion: Conversion;
  readonly network: Network;
}

/** Run `use` with an empty folder, which is removed at the end. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-import-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Convert a file into a folder that is removed at the end. */
export function convert(format: Format, file: string, stated: Stated = {}): Promise<Conversion> {
  return inFolder((folder) => CONVERTERS[format](file, folder, stated));
}

/** Convert a file, load the result with the loader of the server, and run it on `input` [N, 3, H, W]. */
export function importAndRun(
  format: Format,
  file: string,
  input: Value,
  stated: Stated = {},
): Promise<Imported & { readonly logits: readonly number[] }> {
  return inFolder(async (root) => {
    const folder = join(root, 'model');
    await mkdir(folder);
    const conversion = await CONVERTERS[format](file, folder, stated);
    const size = input.dims[2]!;
    const manifest: Manifest = {
      name: 'imported',
      version: '1',
      ...conversion.model,
      labels: 'labels.json',
      input: {
        ...{ interpolation: 'bilinear', channels: 'RGB', range: 255, mean: [0, 0, 0], std: [1, 1, 1] },
        size,
        resize: size,
      },
    };
    const labels = Array.from({ length: conversion.classes! }, (_, index) => ({ id: `${index}`, label: `${index}` }));
    const network = await loadNetwork({ folder, manifest, labels }, join(root, 'cache'));
    const feeds = { [network.classifier.inputs[0]!.name]: input };
    const outputs = await runGraph(network.classifier, feeds, { folder: network.weightsFolder });
    return { conversion, network, logits: Array.from(outputs['logits']!.data, Number) };
  });
}

/** The picture of test/fixtures/import/picture.py as [1, 3, size, size], each number given to `scale`. */
export function picture(size: number, scale: (pixel: number) => number = (pixel) => pixel): Value {
  const data = Float32Array.from({ length: 3 * size * size }, (_, index) => {
    const [c, y, x] = [Math.floor(index / size ** 2), Math.floor(index / size) % size, index % size];
    return scale((7 * y * y + 13 * x + 29 * c * x + 5 * y * x + 31 * c) % 256);
  });
  return { dims: [1, 3, size, size], data };
}

/** The picture as a PNG file. */
export async function writePicture(file: string, size: number): Promise<void> {
  const planes = picture(size).data;
  const pixels = new Uint8Array(planes.length).map((_, index) => {
    return Number(planes[(index % 3) * size ** 2 + Math.floor(index / 3)]);
  });
  await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .png()
    .toFile(file);
}

/** What a net that ends in `activation` makes of logits. */
export function activated(logits: readonly number[], activation: 'softmax' | 'sigmoid'): number[] {
  if (activation === 'sigmoid') return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}
