/**
 * Makes a network of a TensorFlow.js LayersModel: read by tfjs-file.ts, brought to form by import-classifier.ts.
 *
 * Its weights are always converted (converted-weights.ts), even if they are in one piece. Kernels have channels last:
 * if the engine transposes one, every session of every worker holds a copy, whereas a kernel in the graph's order is
 * mapped once. Few models are in one piece anyway, because TensorFlow.js writes shards of 4 MB.
 */
import { dirname, join } from 'node:path';
import { bindWeights } from '../../graph/passes/bind-weights.js';
import { applyPass } from '../../graph/pass.js';
import { imageShapes } from '../../graph/native-shapes.js';
import { inferShapes } from '../../graph/shapes.js';
import { transposeValues } from '../../graph/weights.js';
import { convertWeights } from './converted-weights.js';
import { importClassifier } from './import-classifier.js';
import { buildKerasGraph, type KerasParameter } from '../keras/build-graph.js';
import { readKerasModel } from '../keras/topology.js';
import { nativeSizeOf, type ModelFolder } from '../manifest.js';
import { explain } from '../files/model-file-error.js';
import type { Network } from './network.js';
import type { WritableTensor } from '../files/safetensors.js';
import { readTfjsFile, type TfjsFile } from '../files/tfjs-file.js';

/** Increment the number whenever the form of a parameter changes (keras/*-layers.ts). */
const CONVERSION = 'tfjs-layers-1';

/**
 * Load the network: reads and hashes the files, and converts the weights if they are not in the cache. `cache` is the
 * setting FULLCONV_CACHE. Throws ModelFileError naming the file and the field.
 */
export async function loadTfjsLayers({ folder, manifest, labels }: ModelFolder, cache: string): Promise<Network> {
  const file = join(folder, manifest.weights.file);
  const content = await readTfjsFile(file);
  const size = nativeSizeOf(manifest);
  return explain(file, async () => {
    const dims = new Map([...content.weights].map(([name, weight]) => [name, weight.dims]));
    const { graph, parameters } = buildKerasGraph(readKerasModel(content.topology), { dims, keras: content.keras });
    // Layers that do not fit together are refused here by name, before anything is written.
    inferShapes(graph, imageShapes(graph, { batch: 1, ...size }));
    const conversion = { cache, name: CONVERSION, digest: content.weightsDigest };
    const source = await convertWeights(conversion, {
      tensors: () => parameters.map((parameter) => tensorOf(parameter, content)),
      folder: dirname(file),
      files: content.files,
    });
    const bound = applyPass(graph, bindWeights(source)) ?? graph;
    return {
      ...importClassifier(bound, { size, classes: labels.length, stated: manifest.output }),
      fileDigest: content.digest,
      weightsDigest: content.weightsDigest,
      weightsFolder: source.folder,
      weightsFiles: [{ name: source.file, stamp: source.stamp }],
    };
  });
}

function tensorOf({ name, dims, perm }: KerasParameter, { weights }: TfjsFile): WritableTensor {
  const weight = weights.get(name)!;
  return {
    name,
    dims,
    values: async () => {
      const values = await weight.read();
      return perm === undefined ? values : transposeValues(values, weight.dims, perm);
    },
  };
}
