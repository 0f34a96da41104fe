/** Writes a Keras model as TensorFlow.js would save it: `tfjs/model.json` with the topology, `tfjs/weights.bin`. */
import { writeSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFile } from '../../files.js';
import type { Graph } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import { imageShapes } from '../../graph/native-shapes.js';
import { inferKnownShapes } from '../../graph/shapes.js';
import { elementCount } from '../../tensor.js';
import { MAX_WEIGHTS_BYTES } from '../files/file-access.js';
import type { Hdf5File } from '../files/hdf5.js';
import { buildKerasGraph } from '../keras/build-graph.js';
import { readKerasModel } from '../keras/topology.js';
import { TFJS_LAYERS, type InputPreset } from '../manifest.js';
import type { Conversion } from './conversion.js';
import { leavesOf, type KerasNode, type KerasTree } from './keras-tree.js';
import type { KerasWeight } from './keras-weights.js';

/** Compressed weights have at most so many times the bytes of their file, unless they are few. */
const MOST_COMPRESSED = 20;
const FEW_BYTES = 2 ** 26;

const FLOAT_BYTES = 4;

/** Side in pixels at which shapes are inferred if the model takes any size. */
const ANY_SIDE = 224;

export interface KerasSource {
  readonly tree: KerasTree;
  /** The version of Keras that wrote the model, as the file says it. */
  readonly version: string;
  readonly weights: readonly KerasWeight[];
  readonly hdf5: Hdf5File;
}

/** Write the files below `folder`. Throws GraphError naming the layer, and ModelFileError naming the dataset. */
export async function writeLayersModel(
  { tree, version, weights, hdf5 }: KerasSource,
  folder: string,
): Promise<Conversion> {
  const dims = new Map(weights.map(({ name, dataset }) => [name, hdf5.dims(dataset)]));
  const bytes = FLOAT_BYTES * [...dims.values()].reduce((sum, shape) => sum + elementCount(shape), 0);
  if (!(bytes <= Math.min(MAX_WEIGHTS_BYTES, Math.max(FEW_BYTES, MOST_COMPRESSED * hdf5.size)))) {
    throw new GraphError(`its weights would have ${bytes} bytes, but the file has only ${hdf5.size}`);
  }
  const { graph } = buildKerasGraph(readKerasModel(tree.topology), { dims, keras: majorOf(version) });
  const figures = figuresOf(graph);

  const target = join(folder, 'tfjs');
  await mkdir(target);
  await writeWeights(join(target, 'weights.bin'), weights, hdf5);
  const entries = [...dims].map(([name, shape]) => ({ name, shape, dtype: 'float32' }));
  const model = {
    format: 'layers-model',
    generatedBy: `keras v${version}`,
    convertedBy: 'fullconv',
    modelTopology: { keras_version: version, backend: 'tensorflow', model_config: tree.topology },
    weightsManifest: [{ paths: ['weights.bin'], weights: entries }],
  };
  await writeFile(join(target, 'model.json'), JSON.stringify(model));

  const leaves = leavesOf(tree.layers).map(({ node }) => node);
  const range = rangeOf(leaves);
  return {
    model: { architecture: TFJS_LAYERS, weights: { file: 'tfjs/model.json' } },
    ...(figures.classes === undefined ? {} : { classes: figures.classes }),
    input: {
      ...(figures.size === undefined ? {} : { size: figures.size }),
      ...(range === undefined ? {} : { range, mean: [0, 0, 0], std: [1, 1, 1] }),
    },
    notes: [
      `A model of Keras ${version} with ${leaves.length} layers.`,
      ...(range === undefined ? [] : [`Its first layers scale the pixels themselves: it takes 0 to ${255 / range}.`]),
    ],
  };
}

/** The major version; before Keras wrote its version it was 1, and TensorFlow's own Keras was 2. */
function majorOf(version: string): number {
  return Number(/^\d+/.exec(version)?.[0] ?? 2);
}

async function writeWeights(path: string, weights: readonly KerasWeight[], hdf5: Hdf5File): Promise<void> {
  const handle = await createFile(path);
  try {
    for (const { dataset } of weights) {
      hdf5.read(dataset, ({ buffer, byteOffset, byteLength }) => {
        const bytes = new Uint8Array(buffer, byteOffset, byteLength);
        for (let done = 0; done < bytes.length;) done += writeSync(handle.fd, bytes, done);
      });
    }
  } finally {
    await handle.close();
  }
}

function figuresOf(graph: Graph): { readonly classes: number | undefined; readonly size: number | undefined } {
  const [input, ...others] = graph.inputs;
  if (input === undefined || others.length > 0) {
    throw new GraphError(`modelTopology: has ${graph.inputs.length} inputs; a classifier of images has one`);
  }
  const [, , height, width] = input.dims;
  const size = typeof height === 'number' && height === width ? height : undefined;
  const given = imageShapes(graph, { batch: 1, height: size ?? ANY_SIDE, width: size ?? ANY_SIDE });
  const output = inferKnownShapes(graph, given).get(graph.outputs[0]!.name);
  return { classes: output === undefined ? undefined : elementCount(output.slice(1)), size };
}

/** Layers that leave the pixels as they are when nothing is trained. */
const IDLE = /^(InputLayer|Random\w+|Dropout|SpatialDropout2D|GaussianNoise)$/;

/** A Rescaling by less than that is for pixels from 0 to 255, others are for 0 to 1. */
const SMALL_SCALE = 0.1;
/** A Normalization with a mean above that is for pixels from 0 to 255. */
const LARGE_MEAN = 5;

/** What pixels are divided by, if the first layers are scalings that tell; undefined if they are not. */
function rangeOf(leaves: readonly KerasNode[]): InputPreset['range'] | undefined {
  const first = leaves.find(({ className }) => !IDLE.test(className));
  const largest = (value: unknown): number | undefined => {
    const numbers = [value].flat(3).filter((number) => typeof number === 'number');
    return numbers.length === 0 ? undefined : Math.max(...numbers.map(Math.abs));
  };
  if (first?.className === 'Rescaling') {
    const second = leaves[leaves.indexOf(first) + 1];
    const [scale = 1, offset = 0] = [largest(first.config['scale']), largest(first.config['offset'])];
    if (scale !== 1) return scale < SMALL_SCALE ? 1 : 255;
    // x − 127.5, then times 1/127.5.
    const next = second?.className === 'Rescaling' ? (largest(second.config['scale']) ?? 1) : 1;
    return offset > LARGE_MEAN || next < SMALL_SCALE ? 1 : 255;
  }
  if (first?.className !== 'Normalization') return undefined;
  const mean = largest(first.config['mean']);
  if (mean === undefined) return undefined;
  return mean > LARGE_MEAN ? 1 : 255;
}
