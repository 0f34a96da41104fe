/**
 * From a folder to a model that answers: read, compiled, proven where it was converted (parity.ts), with the sessions of its
 * two main views open on every worker. `score`, rarely needed, and the `dense` view of a large net are opened at their first
 * use. Whatever goes wrong, no session stays open.
 */
import { join } from 'node:path';
import { compileModel, type CompiledModel } from './compile.js';
import type { View } from './dense-views.js';
import { ModelFileError } from './files/model-file-error.js';
import { LoadedModel } from './loaded-model.js';
import { MANIFEST_FILE, readModelFolder, type ModelFolder } from './manifest.js';
import { measureParity, refuseUnlessHalf, trusted, type SessionRunner } from './parity.js';

export interface LoadOptions {
  /** Where converted weights are written, and what was measured of imported models. */
  readonly cache: string;
  /** Whether the device computes in half precision. Default: it does not. */
  readonly computesHalf?: boolean;
}

/** Load the model of that name from its folder, with sessions of its own. Rejects with what is wrong with it. */
export type ModelLoader = (name: string, folder: string) => Promise<LoadedModel>;

/** Above this a model’s `dense` session, which doubles its memory (and for a VGG is gigabytes), waits for its first use. */
const EAGER_PARAMETERS = 1e7;

/** A loader that tells its loads apart: the ids of their sessions hold the load's number. */
export function createModelLoader(options: LoadOptions, sessions: SessionRunner): ModelLoader {
  let loads = 0;
  return async (name, folder) => {
    const content = await readModelFolder(folder);
    if (content.manifest.name !== name) {
      throw new ModelFileError(join(folder, MANIFEST_FILE), 'name', `must be "${name}", is "${content.manifest.name}"`);
    }
    loads += 1;
    const model = await trust(await compile(content, loads, options, sessions), options, sessions);
    return openLoad(model, sessions);
  };
}

/** In half precision only where that was measured, or in single where the engine does not run it. */
async function compile(
  content: ModelFolder,
  load: number,
  { cache, computesHalf }: LoadOptions,
  sessions: SessionRunner,
): Promise<CompiledModel> {
  const model = await compileModel(content, { load, cache, ...(computesHalf !== undefined && { computesHalf }) });
  const { halfCheck: check } = model;
  if (check === undefined) return model;
  const parity = await measureParity(check, sessions, cache);
  if (parity === undefined) return compileModel(content, { load, cache });
  refuseUnlessHalf(content.folder, check, parity);
  return model;
}

/** The model with its dense view proven, or without it. */
async function trust(model: CompiledModel, { cache }: LoadOptions, sessions: SessionRunner): Promise<CompiledModel> {
  const { parityCheck: check } = model;
  if (check === undefined) return model;
  return trusted(model, check, await measureParity(check, sessions, cache));
}

async function openLoad(model: CompiledModel, sessions: SessionRunner): Promise<LoadedModel> {
  const load = new LoadedModel(model, sessions);
  try {
    await open(load, model.classifier);
    if ('view' in model.dense && model.parameters <= EAGER_PARAMETERS) await open(load, model.dense.view());
  } catch (error) {
    await load.close();
    throw error;
  }
  return load;
}

/** Open the session of a view, and leave it open. */
async function open(load: LoadedModel, view: View): Promise<void> {
  const { opened, release } = load.lease(view);
  await opened.finally(release);
}
