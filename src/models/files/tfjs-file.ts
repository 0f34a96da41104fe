/**
 * A TensorFlow.js LayersModel or GraphModel, hostile until proven otherwise: a JSON file with the topology and the
 * manifest of the weights, and the files of their bytes beside it. In the result every weight lies inside its files;
 * these lie in the folder and have exactly as many bytes as the weights need. The topology is not checked here.
 *
 * A group's weights follow each other in the concatenation of its files, so a weight may begin in one file and end in
 * the next. Source: tfjs-core's io/types.ts (WeightsManifestConfig) and io_utils.ts (decodeWeights).
 */
import { createHash } from 'node:crypto';
import { dirname, join, normalize } from 'node:path';
import { z } from 'zod';
import { elementCount } from '../../tensor.js';
import { halfValue } from '../../graph/constants.js';
import type { StampedFile } from '../../regular-files.js';
import { openModelFile, readExactly, sizeInside, stampModelFile } from './file-access.js';
import { readJson } from './json-file.js';
import { insideFolder } from '../manifest.js';
import { ModelFileError } from './model-file-error.js';

export interface TfjsFile {
  /** `{ class_name, config }`, not checked. */
  readonly topology: unknown;
  /** Major version of the Keras that wrote it; TensorFlow.js itself writes as version 2. */
  readonly keras: number;
  /** By name. */
  readonly weights: ReadonlyMap<string, TfjsWeight>;
  /** sha256 of the JSON file, hexadecimal. */
  readonly digest: string;
  /** sha256 over the JSON file and all files of weights, hexadecimal. */
  readonly weightsDigest: string;
  /** The files of weights, by their names beside the JSON file. */
  readonly files: readonly StampedFile[];
}

export interface TfjsWeight {
  readonly dims: readonly number[];
  /** The type that the model computes with; quantized weights are stored in another. */
  readonly dtype: 'float32' | 'int32' | 'uint8' | 'bool';
  /** The values, row-major, converted to single precision. The caller owns them. Throws ModelFileError. */
  read(): Promise<Float32Array<ArrayBuffer>>;
}

const quantization = z.union([
  z.object({ dtype: z.literal('float16') }),
  z.object({ dtype: z.enum(['uint8', 'uint16']), scale: z.number(), min: z.number() }),
]);

const weightSchema = z.object({
  name: z.string().min(1),
  shape: z.array(z.number().int().nonnegative()),
  dtype: z.enum(['float32', 'int32', 'uint8', 'bool']),
  quantization: quantization.nullish(),
});

const NO_GRAPHS = 'belongs to a GraphModel, a frozen graph; fullconv import makes a model of it';

const modelSchema = z.object({
  format: z.literal('layers-model', NO_GRAPHS).nullish(),
  modelTopology: z.looseObject({ keras_version: z.string().nullish(), model_config: z.unknown().optional() }),
  weightsManifest: z.array(z.object({ paths: z.array(insideFolder), weights: z.array(weightSchema) })),
});

type StoredWeight = z.output<typeof weightSchema>;
type Group = z.output<typeof modelSchema>['weightsManifest'][number];

/** Read `file`, and the sizes and digests of its weight files. Throws ModelFileError naming the file and the field. */
export async function readTfjsFile(file: string): Promise<TfjsFile> {
  const { value: model, digest } = await readJson(file, modelSchema);
  const { modelTopology: topology } = model;
  if ('node' in topology) throw new ModelFileError(file, 'modelTopology', NO_GRAPHS);
  const weights = await locateAll(file, model.weightsManifest);
  const files: StampedFile[] = [];
  for (const name of model.weightsManifest.flatMap(({ paths }) => paths)) {
    files.push({ name, stamp: await stampModelFile(join(dirname(file), name)) });
  }
  return {
    topology: topology.model_config ?? topology,
    keras: Number(/^\d+/.exec(topology.keras_version ?? '')?.[0] ?? 2),
    weights,
    digest,
    weightsDigest: createHash('sha256')
      .update(JSON.stringify([digest, ...files.map(({ name, stamp }) => [name, stamp.sha256])]))
      .digest('hex'),
    files,
  };
}

/** A GraphModel: a frozen graph of TensorFlow's operators. */
export interface TfjsGraphFile {
  /** Not checked. */
  readonly nodes: readonly unknown[];
  /** What the model calls its inputs and outputs; not checked. */
  readonly signature: unknown;
  /** By the name of the constant. */
  readonly weights: ReadonlyMap<string, TfjsWeight>;
}

const graphSchema = z.object({
  format: z.literal('graph-model', 'is not that of a GraphModel').nullish(),
  modelTopology: z.object({ node: z.array(z.unknown()) }, 'has no nodes: it belongs to no GraphModel'),
  weightsManifest: modelSchema.shape.weightsManifest,
  signature: z.unknown().optional(),
  userDefinedMetadata: z.looseObject({ signature: z.unknown() }).nullish(),
});

/** Read the JSON file of a GraphModel, and the sizes of its weight files. Throws ModelFileError as readTfjsFile does. */
export async function readTfjsGraphFile(file: string): Promise<TfjsGraphFile> {
  const { value: model } = await readJson(file, graphSchema);
  return {
    nodes: model.modelTopology.node,
    signature: model.signature ?? model.userDefinedMetadata?.signature,
    weights: await locateAll(file, model.weightsManifest),
  };
}

async function locateAll(file: string, groups: readonly Group[]): Promise<ReadonlyMap<string, TfjsWeight>> {
  const weights = new Map<string, TfjsWeight>();
  const given = new Set<string>();
  for (const [position, group] of groups.entries()) {
    for (const path of group.paths.map(normalize)) {
      if (given.has(path)) throw new ModelFileError(file, `weightsManifest.${position}`, `"${path}" is given twice`);
      given.add(path);
    }
    for (const [name, weight] of await locate(file, group, `weightsManifest.${position}`)) {
      if (weights.has(name)) throw new ModelFileError(file, `weight "${name}"`, 'is given twice');
      weights.set(name, weight);
    }
  }
  return weights;
}

/** A file of a group, and its range in the bytes of the group. */
interface Shard {
  readonly path: string;
  readonly begin: number;
  readonly end: number;
}

async function locate(file: string, { paths, weights }: Group, field: string): Promise<[string, TfjsWeight][]> {
  const folder = dirname(file);
  const shards: Shard[] = [];
  let available = 0;
  for (const path of paths) {
    const begin = available;
    available += await sizeInside(folder, path);
    shards.push({ path: join(folder, path), begin, end: available });
  }
  let end = 0;
  const located = weights.map((weight): [string, TfjsWeight] => {
    const begin = end;
    end += elementCount(weight.shape) * storage(weight).width;
    const range = { begin, end };
    const read = async () => decode(weight, await readRange(shards, range));
    return [weight.name, { dims: weight.shape, dtype: weight.dtype, read }];
  });
  if (end === available) return located;
  throw new ModelFileError(file, field, `its weights need ${end} bytes, but its files have ${available}`);
}

async function readRange(
  shards: readonly Shard[],
  { begin, end }: { readonly begin: number; readonly end: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - begin);
  for (const shard of shards.filter((other) => other.begin < end && other.end > begin)) {
    const [from, to] = [Math.max(begin, shard.begin), Math.min(end, shard.end)];
    const handle = await openModelFile(shard.path);
    try {
      bytes.set(await readExactly(handle, shard.path, to - from, from - shard.begin), from - begin);
    } finally {
      await handle.close();
    }
  }
  return bytes;
}

type TypedArray = Float32Array<ArrayBuffer> | Int32Array | Uint16Array | Uint8Array;

/** How a weight's values are stored. */
interface Storage {
  readonly width: number;
  readonly view: (bytes: ArrayBuffer) => TypedArray;
}

const STORAGE = {
  float32: { width: 4, view: (bytes) => new Float32Array(bytes) },
  float16: { width: 2, view: (bytes) => new Uint16Array(bytes) },
  int32: { width: 4, view: (bytes) => new Int32Array(bytes) },
  uint16: { width: 2, view: (bytes) => new Uint16Array(bytes) },
  uint8: { width: 1, view: (bytes) => new Uint8Array(bytes) },
  bool: { width: 1, view: (bytes) => new Uint8Array(bytes) },
} as const satisfies Record<string, Storage>;

function storage({ dtype, quantization: quantized }: StoredWeight): Storage {
  return STORAGE[quantized?.dtype ?? dtype];
}

function decode(weight: StoredWeight, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const stored = storage(weight).view(bytes.buffer);
  if (stored instanceof Float32Array) return stored;
  const valueOf = reader(weight);
  const values = new Float32Array(stored.length);
  // Float32Array.from takes tens of times as long, which is seconds for a large net.
  for (let index = 0; index < values.length; index += 1) values[index] = valueOf(stored[index]!);
  return values;
}

/**
 * Maps a stored number to its value. A quantized number counts steps of `scale` above `min`; integer types are rounded
 * to the nearest integer.
 */
function reader({ dtype, quantization: quantized }: StoredWeight): (stored: number) => number {
  if (!quantized) return (stored) => stored;
  if (quantized.dtype === 'float16') return halfValue;
  const { scale, min } = quantized;
  return dtype === 'float32' ? (stored) => stored * scale + min : (stored) => Math.round(stored * scale + min);
}
