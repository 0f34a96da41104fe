/** TensorFlow.js itself, which makes models, saves them in its own format, and computes their outputs. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { halfBits } from '../../src/graph/constants.js';
import { generatedUniform } from '../../src/models/networks/generated-weights.js';
import type { ModelFolder } from '../../src/models/manifest.js';
import type { Value } from './ort.js';

// Otherwise TensorFlow.js prints a greeting, and recommends another backend.
tf.env().set('IS_TEST', true);

export { tf, tfl };
export type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs-layers';

/** Weights that depend on their names only, scaled so that values keep their size through the layers. */
export function withGeneratedWeights(model: tfl.LayersModel): tfl.LayersModel {
  const generated = model.weights.map(({ originalName, shape }) => {
    const dims = shape as number[];
    const uniform = [...generatedUniform(originalName, elementCount(dims))];
    return tf.tensor(uniform.map(scaled(originalName.split('/').at(-1)!, dims)), dims);
  });
  model.setWeights(generated);
  tf.dispose(generated);
  return model;
}

/** Makes values of a weight from numbers in [−1, 1). */
function scaled(weight: string, dims: readonly number[]): (u: number) => number {
  if (weight === 'moving_variance') return (u) => 1 + 0.5 * u;
  if (weight === 'gamma') return (u) => 1 + 0.3 * u;
  if (!weight.endsWith('kernel')) return (u) => 0.3 * u;
  const inputs = weight.startsWith('depthwise') ? dims[0]! * dims[1]! : elementCount(dims.slice(0, -1));
  return (u) => u * Math.sqrt(3 / inputs);
}

const elementCount = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1);

/** The model's output for images [N, 3, H, W]. */
export function predict(model: tfl.LayersModel, { dims, data }: Value): Value {
  return tf.tidy(() => {
    const planar = tf.tensor4d(data as Float32Array, dims as [number, number, number, number]);
    const result = model.predict(tf.transpose(planar, [0, 2, 3, 1])) as tf.Tensor;
    return { dims: result.shape, data: result.dataSync() as Float32Array };
  });
}

/** What TensorFlow.js itself reads from a LayersModel's folder. */
export async function readLayersModel(folder: string): Promise<tfl.LayersModel> {
  const json = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8')) as SavedModel['json'];
  const files = json.weightsManifest.flatMap(({ paths }) => paths);
  const bytes = Buffer.concat(await Promise.all(files.map((file) => readFile(join(folder, file)))));
  return layersModelOf(json, bytes);
}

/** What TensorFlow.js itself reads from the parts of a saved model. */
export function layersModelOf(json: SavedModel['json'], bytes: Buffer): Promise<tfl.LayersModel> {
  const weightSpecs = json.weightsManifest.flatMap(({ weights }) => weights) as never;
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  return tfl.loadLayersModel({
    load: () => Promise.resolve({ modelTopology: json.modelTopology, weightSpecs, weightData }),
  });
}

export type Quantization = 'float16' | 'uint8' | 'uint16';

export interface SaveOptions {
  readonly quantization?: Quantization;
  /** Bytes of a file of weights; files are cut wherever they are full. Default: all in one file. */
  readonly shardBytes?: number;
  /** Weights of a group. Default: all in one group. */
  readonly groupSize?: number;
}

interface WeightEntry {
  readonly name: string;
  readonly shape: number[];
  readonly dtype: string;
  readonly quantization?: object;
}

/** The parts of a saved model, before they are written. Tests of hostile files change them. */
export interface SavedModel {
  readonly json: {
    format: string;
    modelTopology: object;
    weightsManifest: { paths: string[]; weights: WeightEntry[] }[];
  };
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The model as TensorFlow.js saves it; quantized as its converter does it. */
export async function save(model: tfl.LayersModel, options: SaveOptions = {}): Promise<SavedModel> {
  let artifacts: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler((given) => {
      artifacts = given;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } });
    }),
  );
  const { modelTopology, weightSpecs = [], weightData } = artifacts!;
  const all = new Uint8Array(tf.io.CompositeArrayBuffer.join(weightData));
  let begin = 0;
  const stored = weightSpecs.map(({ name, shape, dtype }) => {
    const end = begin + 4 * elementCount(shape);
    const values = new Float32Array(all.slice(begin, end).buffer);
    begin = end;
    return quantize({ name, shape, dtype }, values, options.quantization);
  });

  const { groupSize = stored.length, shardBytes = Infinity } = options;
  const files = new Map<string, Uint8Array>();
  const weightsManifest = Array.from({ length: Math.ceil(stored.length / groupSize) }, (_, group) => {
    const members = stored.slice(group * groupSize, (group + 1) * groupSize);
    const bytes = Buffer.concat(members.map((member) => member.bytes));
    const count = Math.max(1, Math.ceil(bytes.length / shardBytes));
    const paths = Array.from({ length: count }, (_unused, shard) => {
      const path = `group${group + 1}-shard${shard + 1}of${count}.bin`;
      files.set(path, count === 1 ? bytes : bytes.subarray(shard * shardBytes, (shard + 1) * shardBytes));
      return path;
    });
    return { paths, weights: members.map(({ entry }) => entry) };
  });
  return { json: { format: 'layers-model', modelTopology: modelTopology as object, weightsManifest }, files };
}

function quantize(
  entry: WeightEntry,
  values: Float32Array,
  dtype: Quantization | undefined,
): { readonly entry: WeightEntry; readonly bytes: Uint8Array } {
  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array | Uint8Array): Uint8Array =>
    new Uint8Array(buffer, byteOffset, byteLength);
  switch (dtype) {
    case undefined:
      return { entry, bytes: bytesOf(values) };
    case 'float16':
      return {
        entry: { ...entry, quantization: { dtype, original_dtype: 'float32' } },
        bytes: bytesOf(Uint16Array.from(values, halfBits)),
      };
    default: {
      const [min, max] = [Math.min(...values), Math.max(...values)];
      const scale = (max - min) / (dtype === 'uint8' ? 255 : 65535) || 1;
      const whole = Array.from(values, (value) => Math.round((value - min) / scale));
      return {
        entry: { ...entry, quantization: { dtype, scale, min, original_dtype: 'float32' } },
        bytes: bytesOf(dtype === 'uint8' ? Uint8Array.from(whole) : Uint16Array.from(whole)),
      };
    }
  }
}

/** Write the model's folder; `model.json` is its manifest, `tfjs/model.json` the LayersModel. */
export async function writeTfjsModel(
  folder: string,
  { json, files }: SavedModel,
  { size, classes }: { readonly size: number; readonly classes: number },
): Promise<ModelFolder> {
  await mkdir(join(folder, 'tfjs'), { recursive: true });
  await writeFile(join(folder, 'tfjs/model.json'), JSON.stringify(json));
  for (const [path, bytes] of files) await writeFile(join(folder, 'tfjs', path), bytes);
  const input = { interpolation: 'bilinear', channels: 'RGB', range: 255 } as const;
  const content: ModelFolder = {
    folder,
    manifest: {
      name: 'tiny-tfjs',
      version: '1',
      architecture: 'tfjs-layers',
      weights: { file: 'tfjs/model.json' },
      labels: 'labels.json',
      input: { ...input, size, resize: size, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    },
    labels: Array.from({ length: classes }, (_, index) => ({ id: `id-${index}`, label: `thing ${index}` })),
  };
  await writeFile(join(folder, 'model.json'), JSON.stringify(content.manifest));
  await writeFile(join(folder, 'labels.json'), JSON.stringify(content.labels));
  return content;
}
