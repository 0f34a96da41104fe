/** TensorFlow.js LayersModels: copied as they are, the topology and its shards. */
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { copyModelFile } from '../files/file-access.js';
import { explain } from '../files/model-file-error.js';
import { readTfjsFile } from '../files/tfjs-file.js';
import { buildKerasGraph } from '../keras/build-graph.js';
import { readKerasModel, type KerasModel } from '../keras/topology.js';
import { TFJS_LAYERS } from '../manifest.js';
import type { Graph } from '../../graph/graph.js';
import type { Conversion, Converter } from './conversion.js';
import { describeGraph } from './graph-facts.js';

/** The folder of the model's files inside the model folder, where its model.json would be taken for the manifest. */
const FOLDER = 'tfjs';

/** The Converter of LayersModels. */
export const convertTfjsLayers: Converter = async (file, folder): Promise<Conversion> => {
  const content = await readTfjsFile(file);
  const { graph } = await readLayersModel(file);
  const name = basename(file);
  await mkdir(join(folder, FOLDER));
  const paths = [name, ...content.files.map((shard) => shard.name)];
  for (const path of paths) {
    await mkdir(dirname(join(folder, FOLDER, path)), { recursive: true });
    await copyModelFile(join(dirname(file), path), join(folder, FOLDER, path));
  }
  return {
    model: { architecture: TFJS_LAYERS, weights: { file: `${FOLDER}/${name}`, sha256: content.digest } },
    classes: await explain(file, () => describeGraph(graph).classes),
    notes: [],
  };
};

export interface LayersModel {
  /** Its weights are not bound. */
  readonly graph: Graph;
  /** The names of the model and of those inside of it. */
  readonly names: readonly string[];
}

/** The graph and the names of a LayersModel. Throws ModelFileError naming the layer or the field. */
export async function readLayersModel(file: string): Promise<LayersModel> {
  const { topology, weights, keras } = await readTfjsFile(file);
  return explain(file, () => {
    const model = readKerasModel(topology);
    const dims = new Map([...weights].map(([name, weight]) => [name, weight.dims]));
    return { graph: buildKerasGraph(model, { dims, keras }).graph, names: namesOf(model) };
  });
}

function namesOf({ name, calls }: KerasModel): string[] {
  return [name, ...calls.flatMap(({ layer }) => (layer.model === undefined ? [] : namesOf(layer.model)))];
}
