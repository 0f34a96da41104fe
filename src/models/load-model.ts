/**
 * From a folder to a model that answers: it is read, compiled, and checked if it was converted (parity.ts); then the
 * sessions of its two main views are opened on every worker. The rarely needed `score` view and the `dense` view of a
 * large net are opened on first use. If anything fails, no session stays open.
 */
import { join } from 'node:path';
import { compileModel, usualView, type CompiledModel, type NetworkLoader } from './compile.js';
import type { View } from './dense-views.js';
import { ModelFileError } from './files/model-file-error.js';
import { LoadedModel } from './loaded-model.js';
import { isSelfContained, MANIFEST_FILE, readModelFolder, type ModelFolder } from './manifest.js';
import type { Computing } from './precision.js';
import { doubtOf, measureLogits, measureParity, whyNotHalf, trusted, type SessionRunner } from './parity.js';
import { EAGER_PARAMETERS, ONE_COPY, sessionBytes, type WeightCopies } from './weight-copies.js';

export interface LoadOptions extends Computing {
  /** Folder for converted weights and for measurements of imported models: the setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Default: on the caller's thread. load-thread.ts has one that a hostile file can neither block nor bring down. */
  readonly loadNetwork?: NetworkLoader;
  /** Default: one. */
  readonly copies?: WeightCopies;
}

/**
 * Load the model of that name from its folder, with its own sessions. `version` is the one that its folder is named for; absent:
 * its manifest says it. Rejects with the reason if that fails.
 */
export type ModelLoader = (name: string, folder: string, version?: string) => Promise<LoadedModel>;

/** A loader that numbers its loads; the ids of their sessions contain the number. */
export function createModelLoader(options: LoadOptions, sessions: SessionRunner): ModelLoader {
  let loads = 0;
  return async (name, folder, version) => {
    const content = ofVersion(await readModelFolder(folder), version);
    if (content.manifest.name !== name) {
      throw new ModelFileError(join(folder, MANIFEST_FILE), 'name', `must be "${name}", is "${content.manifest.name}"`);
    }
    loads += 1;
    const model = await compile(content, loads, options, sessions);
    try {
      return await openLoad(await trust(model, options, sessions), options, sessions);
    } catch (error) {
      // The engine says no more than that it cannot open them.
      throw (await model.weights.findChanged()) ?? error;
    }
  };
}

function ofVersion(content: ModelFolder, version = content.manifest.version): ModelFolder {
  return { ...content, manifest: { ...content.manifest, version } };
}

/**
 * Compile in half precision only if a measurement allows it, and in single if the engine cannot run half. Throws
 * ModelFileError if half precision was asked for and is too inexact.
 */
async function compile(
  content: ModelFolder,
  load: number,
  options: LoadOptions,
  sessions: SessionRunner,
): Promise<CompiledModel> {
  const model = await compileModel(content, { ...options, load });
  const { halfCheck: check, isHalfAskedFor = false, precision } = model;
  if (check === undefined) return model;
  const parity = await measureParity(check, sessions, options.cache);
  const inSingle = (): Promise<CompiledModel> => compileModel(content, { ...options, load, precision: 'fp32' });
  if (parity === undefined) return inSingle();
  const why = whyNotHalf(precision, check, parity);
  if (why === undefined) return model;
  if (isHalfAskedFor) throw new ModelFileError(join(content.folder, MANIFEST_FILE), 'precision', `is ${why}`);
  return { ...(await inSingle()), notHalf: why };
}

/** The model with its dense view checked, or without it; and with the doubt there is of what its numbers are. */
async function trust(model: CompiledModel, { cache }: LoadOptions, sessions: SessionRunner): Promise<CompiledModel> {
  const { parityCheck: check, manifest } = model;
  if (check === undefined) {
    // What a built-in architecture gives is known.
    const isDoubtful = isSelfContained(manifest) && model.output === 'logits' && manifest.output === undefined;
    return withDoubt(model, isDoubtful ? await measureLogits(model, sessions) : undefined);
  }
  const parity = await measureParity(check, sessions, cache);
  return withDoubt(trusted(model, check, parity, sessions), parity);
}

function withDoubt(model: CompiledModel, measured: Parameters<typeof doubtOf>[1] | undefined): CompiledModel {
  const doubt = measured && doubtOf(model, measured);
  return doubt === undefined ? model : { ...model, doubt };
}

async function openLoad(
  model: CompiledModel,
  { copies = ONE_COPY }: LoadOptions,
  sessions: SessionRunner,
): Promise<LoadedModel> {
  const load = new LoadedModel(model, sessions, sessionBytes(model, copies));
  try {
    await open(load, usualView(model));
    if ('view' in model.dense && model.parameters <= EAGER_PARAMETERS) await open(load, model.dense.view());
  } catch (error) {
    await load.close();
    throw error;
  }
  return load;
}

/** Open the session of a view and leave it open. */
async function open(load: LoadedModel, view: View): Promise<void> {
  const { opened, release } = load.lease(view);
  await opened.finally(release);
}
