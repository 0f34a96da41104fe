/**
 * A TensorFlow.js LayersModel (tfjs-file.ts) on the road of imported classifiers (import-classifier.ts).
 *
 * Its weights are always converted (converted-weights.ts), even where they lie in one piece: kernels have channels last,
 * and one that the engine transposes is a copy in every session of every worker, one that lies in the graph's order is
 * mapped once. And 4 MB a shard, which is what TensorFlow.js writes, leaves few models in one piece.
 */
import { join } from 'node:path';
import { bindWeights } from '../../graph/passes/bind-weights.js';
import { applyPass } from '../../graph/pass.js';
import { imageShapes } from '../../graph/native-shapes.js';
import { inferShapes } from '../../graph/shapes.js';
import { transposeValues } from '../../graph/weights.js';
import { convertWeights } from './converted-weights.js';
import { importClassifier } from './import-classifier.js';
import { buildKerasGraph, type KerasParameter } from '../keras/build-graph.js';
import { readKerasModel } from '../keras/topology.js';
import type { ModelFolder } from '../manifest.js';
import { explain } from '../files/model-file-error.js';
import type { Network } from './network.js';
import type { WritableTensor } from '../files/safetensors.js';
import { readTfjsFile, type TfjsFile } from '../files/tfjs-file.js';

/** To be counted up whenever a parameter gets another form (keras/*-layers.ts). */
const CONVERSION = 'tfjs-layers-1';

/**
 * Reads and hashes the files, and converts the weights where that has not been done. `cache` is the setting FULLCONV_CACHE.
 * Throws ModelFileError naming the file and the field.
 */
export async function loadTfjsLayers({ folder, manifest, labels }: ModelFolder, cache: string): Promise<Network> {
  const file = join(folder, manifest.weights.file);
  const content = await readTfjsFile(file);
  const size = Number(manifest.options?.['inputSize'] ?? manifest.input.size);
  return explain(file, async () => {
    const dims = new Map([...content.weights].map(([name, weight]) => [name, weight.dims]));
    const { graph, parameters } = buildKerasGraph(readKerasModel(content.topology), { dims, keras: content.keras });
    // What does not fit together is to be refused with the name of the layer, before anything is written.
    inferShapes(graph, imageShapes(graph, { batch: 1, height: size, width: size }));
    const source = await convertWeights({ cache, name: CONVERSION, digest: content.weightsDigest }, () =>
      parameters.map((parameter) => tensorOf(parameter, content)),
    );
    const bound = applyPass(graph, bindWeights(source)) ?? graph;
    return {
      ...importClassifier(bound, { size, classes: labels.length }),
      fileDigest: content.digest,
      weightsDigest: content.weightsDigest,
      weightsFolder: source.folder,
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
