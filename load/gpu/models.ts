/** The models of a run: architectures with generated weights, and models of the folder of models, in one precision each. */
import { copyFile, link, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isArchitecture } from '../../src/architectures/index.js';
import { makeWhole } from '../../src/files.js';
import { compileModel, type CompiledModel } from '../../src/models/compile.js';
import {
  MANIFEST_FILE,
  readManifest,
  readModelFolder,
  type Manifest,
  type ModelFolder,
  type Precision,
} from '../../src/models/manifest.js';
import { prepareUntrained, untrainedModel } from '../../src/models/networks/untrained.js';
import { servedName } from '../scenario.js';
import { howToCompute } from './numbers.js';
import { partsOf } from './plan.js';
import type { StepContext } from './step-task.js';

/** The folder of a model, made where its weights are generated. */
export async function folderOf({ places }: Pick<StepContext, 'places'>, name: string): Promise<ModelFolder> {
  return readModelFolder(isArchitecture(name) ? await prepareUntrained(places.cache, name) : join(places.models, name));
}

/** The manifest of a model, without any weights. */
export async function manifestOf({ places }: Pick<StepContext, 'places'>, name: string): Promise<Manifest> {
  return isArchitecture(name) ? untrainedModel(name).manifest : readManifest(join(places.models, name));
}

/** The models of the folder of models, the default one first. */
export async function embeddedModels({ places }: Pick<StepContext, 'places'>): Promise<ModelFolder[]> {
  const found: ModelFolder[] = [];
  for (const name of (await readdir(places.models)).sort()) {
    const model = await readModelFolder(join(places.models, name)).catch(() => undefined);
    if (model !== undefined) found.push(model);
  }
  return found.sort((a, b) => Number(b.manifest.default ?? false) - Number(a.manifest.default ?? false));
}

/**
 * A model as the step's device computes it in the step's numbers. Throws an Error that says why it does not: a net that is too
 * wide for a precision, a precision that the program does not take.
 */
export async function compileFor(
  task: Pick<StepContext, 'device' | 'numbers' | 'places'>,
  content: ModelFolder,
): Promise<CompiledModel> {
  const { engine, kind } = partsOf(task.device!);
  const how = howToCompute(engine, kind, task.numbers!);
  if ('cannot' in how) throw new Error(how.cannot);
  const model = await compileModel(inPrecision(content, how.precision), {
    ...{ load: 1, cache: task.places.cache, computesHalf: engine.computesHalf(kind) },
    ...(how.precision === 'bf16' && { autocast: how.precision }),
  });
  if (model.precision === how.precision) return model;
  throw new Error(`it is computed in ${model.precision} there, not in ${how.precision}`);
}

function inPrecision(content: ModelFolder, precision: Precision): ModelFolder {
  return { ...content, manifest: { ...content.manifest, precision } };
}

/**
 * A folder of models that holds one alone, in a precision, for a server; the weights are the same file. Returns the folder and the
 * name that the model is served under.
 */
export async function folderToServe(
  context: Pick<StepContext, 'places'>,
  name: string,
  precision: Precision,
): Promise<{ readonly folder: string; readonly served: string }> {
  const { folder: source, manifest } = await folderOf(context, name);
  const folder = join(context.places.cache, 'served', precision, name);
  const served = isArchitecture(name) ? servedName(name, 'fp32') : manifest.name;
  await rm(folder, { recursive: true, force: true });
  await makeWhole(folder, async (unfinished) => {
    const model = join(unfinished, served);
    await mkdir(model, { recursive: true });
    for (const file of [manifest.weights.file, manifest.labels]) {
      const [from, to] = [join(source, file), join(model, file)];
      await mkdir(dirname(to), { recursive: true });
      await link(from, to).catch(() => copyFile(from, to));
    }
    const changed = { ...manifest, precision };
    await writeFile(join(model, MANIFEST_FILE), JSON.stringify(changed));
  });
  return { folder, served };
}
