/**
 * Keras' files with a whole model → a LayersModel of TensorFlow.js, whose reader makes the network (tfjs-network.ts).
 * `.h5`: HDF5 with the topology as the attribute `model_config` and the weights in groups. `.keras`: a zip archive with
 * config.json, metadata.json and model.weights.h5. Which it is, its first bytes say.
 *
 * Before anything is written, the topology, the names and the sizes of the weights are checked by building the graph as
 * it will be built when the model is loaded. Calls block the thread: see files/hdf5.ts.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MAX_WEIGHTS_BYTES, openModelFile } from '../files/file-access.js';
import { openHdf5, type Hdf5File } from '../files/hdf5.js';
import { parseJsonPart } from '../files/json-part.js';
import { explain, ModelFileError } from '../files/model-file-error.js';
import { openZip, ZIP_MAGIC, type ZipFile } from '../files/zip.js';
import type { Conversion, Converter } from './conversion.js';
import { readKerasTree } from './keras-tree.js';
import { weightsInArchive, weightsInHdf5 } from './keras-weights.js';
import { writeLayersModel } from './layers-model.js';

const HDF5_MAGIC = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

/** Limit for a topology; the largest have some megabytes. */
const MAX_TOPOLOGY_BYTES = 2 ** 24;

/** Convert on this thread. Throws ModelFileError naming the layer, the weight or the part of the file. */
export const convertKerasFile: Converter = async (file, folder) => {
  const magic = await firstBytes(file, HDF5_MAGIC.length);
  if (magic.equals(HDF5_MAGIC)) return convertHdf5(file, folder);
  if (magic.subarray(0, ZIP_MAGIC.length).equals(ZIP_MAGIC)) return convertArchive(file, folder);
  throw new ModelFileError(file, 'file', 'is neither HDF5 (.h5) nor a .keras archive: Keras did not write it');
};

async function firstBytes(file: string, length: number): Promise<Buffer> {
  const handle = await openModelFile(file);
  try {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await handle.read(bytes, 0, length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function convertHdf5(file: string, folder: string): Promise<Conversion> {
  const hdf5 = await openHdf5(file);
  try {
    const text = hdf5.text('/', 'model_config');
    if (text === undefined) throw withoutTopology(file, hdf5);
    const topology = parseJsonPart(file, 'model_config', Buffer.from(text));
    return await explain(file, () => {
      const tree = readKerasTree(topology);
      const version = hdf5.text('/', 'keras_version') ?? hdf5.text('/model_weights', 'keras_version') ?? '1';
      const weights = weightsInHdf5(hdf5, tree.layers);
      return writeLayersModel({ tree, version, weights, hdf5 }, folder);
    });
  } finally {
    hdf5.close();
  }
}

/** What a file holds that has no topology, and what to do. */
function withoutTopology(file: string, hdf5: Hdf5File): ModelFileError {
  const names = hdf5.names('/') ?? [];
  const isKeras =
    hdf5.texts('/', 'layer_names') !== undefined ||
    ['layers', 'vars', '_layer_checkpoint_dependencies', 'top_level_model_weights'].some((name) =>
      names.includes(name),
    );
  const detail = isKeras
    ? 'holds the weights of a Keras model without the model itself; build the model in Python, read them with ' +
      "model.load_weights, and save it whole: model.save('model.keras')"
    : 'is HDF5, but no Keras model: it has no attribute "model_config", which model.save(\'model.h5\') writes';
  return new ModelFileError(file, 'file', detail);
}

const metadataSchema = z.object({ keras_version: z.string() });

async function convertArchive(file: string, folder: string): Promise<Conversion> {
  const zip = await openZip(file);
  const unpacked = join(folder, 'model.weights.h5');
  try {
    const topology = await readPart(zip, file, 'config.json');
    const { data: metadata } = metadataSchema.safeParse(await readPart(zip, file, 'metadata.json'));
    const weights = zip.entries.get('model.weights.h5');
    if (weights === undefined) throw new ModelFileError(file, 'model.weights.h5', 'is missing in the archive');
    await zip.extract(weights, unpacked, MAX_WEIGHTS_BYTES);
    return await explain(file, async () => {
      const tree = readKerasTree(topology);
      const hdf5 = await openHdf5(unpacked);
      try {
        const located = weightsInArchive(hdf5, tree.layers);
        return await writeLayersModel(
          { tree, version: metadata?.keras_version ?? '3', weights: located, hdf5 },
          folder,
        );
      } finally {
        hdf5.close();
      }
    });
  } catch (error) {
    // The unpacked file is gone by then.
    if (error instanceof ModelFileError && error.file === unpacked) {
      throw new ModelFileError(file, `model.weights.h5: ${error.field}`, error.detail, { cause: error });
    }
    throw error;
  } finally {
    await rm(unpacked, { force: true });
    await zip.close();
  }
}

async function readPart(zip: ZipFile, file: string, name: string): Promise<unknown> {
  const entry = zip.entries.get(name);
  if (entry === undefined) {
    throw new ModelFileError(file, name, 'is missing in the archive: it is a zip archive, but not one of Keras');
  }
  return parseJsonPart(file, name, await zip.read(entry, MAX_TOPOLOGY_BYTES));
}
