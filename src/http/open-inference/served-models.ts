/**
 * The models of the protocol. A model NAME gives the scores of its classes. It is there a second time as `NAME.encoded`, which
 * takes and gives the same, but whose description says that its input is image files: an input has one datatype there, and some
 * clients send no other. A model that has class maps is there once more, as `NAME.heatmap`: clients that want a model with one
 * output find one.
 *
 * Sources: Open Inference Protocol, "Model Metadata"; Triton, "Model Configuration Extension" and model_config.proto.
 */
import type { Config } from '../../config.js';
import { ServiceError } from '../../errors.js';
import type { Asked } from '../../inference/statistics.js';
import { pixelSize } from '../../maps/input-plan.js';
import type { CompiledModel } from '../../models/compile.js';
import type { ModelEntry, Registry, Wait } from '../../models/registry.js';
import { IMAGE } from './image-tensor.js';

/** What follows a model's name, and what it is then. */
const FORMS = {
  '': { asked: 'scores', input: 'pixels' },
  '.encoded': { asked: 'scores', input: 'files' },
  '.heatmap': { asked: 'maps', input: 'pixels' },
} as const satisfies Readonly<Record<string, Pick<Served, 'asked' | 'input'>>>;

/** What a request is about, ready or not. */
export interface Served {
  readonly name: string;
  readonly asked: Asked;
  /** What its description says that it takes. */
  readonly input: 'pixels' | 'files';
  readonly entry: ModelEntry;
}

/** The same, ready. */
export interface ReadyModel extends Served {
  readonly model: CompiledModel;
}

interface OutputDescription {
  readonly name: string;
  readonly datatype: 'FP32' | 'INT64';
  /** Without the batch dimension; −1: of any size. */
  readonly dims: readonly number[];
}

/** What stands in the address of a request. */
export interface ModelAddress {
  readonly name: string;
  /** A number, or a label. Absent: the one that answers. */
  readonly version?: string | undefined;
}

/** Throws MODEL_NOT_FOUND for a model or a version that is not there. */
export function findModel(registry: Find, address: ModelAddress): Served {
  const served = servedAs(registry, address);
  const { model } = served.entry;
  if (model !== undefined) ofModel(served, model);
  return served;
}

/**
 * A model that a request may be for: it is ready, or it will be loaded for the request. Throws MODEL_NOT_FOUND, or
 * MODEL_NOT_READY with the reason.
 */
export function findAvailableModel(registry: Find & Pick<Registry, 'check'>, address: ModelAddress): Served {
  const served = findModel(registry, address);
  const { state, reason } = served.entry;
  try {
    registry.check(served.entry.name, address.version);
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'MODEL_NOT_READY') throw error;
    const why = reason === undefined ? '' : `: ${reason}`;
    throw new ServiceError('MODEL_NOT_READY', `The model "${served.name}" is ${state}${why}.`, { cause: error });
  }
  return served;
}

/** Work with a model, which may have to be loaded before. Throws as Registry.use does, and as findAvailableModel. */
export async function useModel<T>(
  registry: Find & Pick<Registry, 'check' | 'use'>,
  address: ModelAddress,
  wait: Wait,
  work: (served: ReadyModel) => Promise<T>,
): Promise<T> {
  const served = findAvailableModel(registry, address);
  const workBy = (model: CompiledModel): Promise<T> => work(ofModel(served, model));
  return registry.use(served.entry.name, workBy, { version: address.version, wait });
}

/** Throws MODEL_NOT_FOUND if the model has no such form. */
function ofModel(served: Served, model: CompiledModel): ReadyModel {
  if (served.asked === 'maps' && 'unavailable' in model.dense) {
    throw new ServiceError('MODEL_NOT_FOUND', `There is no model "${served.name}": ${model.dense.unavailable}.`);
  }
  return { ...served, model };
}

type Find = Pick<Registry, 'entry' | 'has'>;

function servedAs(registry: Find, { name, version }: ModelAddress): Served {
  const found = Object.entries(FORMS).find(([suffix]) => name.endsWith(suffix) && registry.has(baseOf(name, suffix)));
  const [suffix, form] = found ?? ['', FORMS['']];
  return { name, ...form, entry: registry.entry(baseOf(name, suffix), version) };
}

function baseOf(name: string, suffix: string): string {
  return name.slice(0, name.length - suffix.length);
}

/** All models, in the order of their names. */
export function servedModels(registry: Pick<Registry, 'list'>): Served[] {
  return registry.list().flatMap((entry) =>
    Object.entries(FORMS)
      .filter(([, { asked }]) => asked === 'scores' || (entry.model !== undefined && 'view' in entry.model.dense))
      .map(([suffix, form]): Served => ({ name: entry.name + suffix, ...form, entry })),
  );
}

/** Of all models, by what they are asked for. */
export const OUTPUT_NAMES: Readonly<Record<Asked, readonly string[]>> = {
  scores: ['scores'],
  maps: ['map', 'classes', 'cells'],
};

/** The versions of its model that can be asked for. */
export function versionsOf(registry: Pick<Registry, 'versions' | 'check'>, { entry }: Served): string[] {
  return registry.versions(entry.name).flatMap(({ name, version, state }) => {
    if (version === undefined) return [];
    if (state === 'ready') return version;
    try {
      registry.check(name, version);
      return version;
    } catch {
      return [];
    }
  });
}

export function outputsOf({ asked, model }: ReadyModel): readonly OutputDescription[] {
  if (asked === 'scores') return [{ name: 'scores', datatype: 'FP32', dims: [model.labels.length] }];
  return [
    { name: 'map', datatype: 'FP32', dims: [-1, -1, -1] },
    { name: 'classes', datatype: 'INT64', dims: [-1] },
    { name: 'cells', datatype: 'FP32', dims: [4] },
  ];
}

/** The configuration calls BYTES TYPE_STRING. */
function inputOf({ input, model }: ReadyModel) {
  if (input === 'files') return { datatype: 'BYTES', dataType: 'TYPE_STRING', format: 'FORMAT_NONE', dims: [1] };
  const { height, width } = pixelSize(model.manifest.input.size);
  return { datatype: 'UINT8', dataType: 'TYPE_UINT8', format: 'FORMAT_NHWC', dims: [height, width, 3] };
}

/** As `GET /v2/models/NAME` answers. `versions`: of all that can be asked. */
export function metadataOf(ready: ReadyModel, versions: readonly string[]): object {
  const { name, model } = ready;
  return {
    name,
    versions,
    platform: platformOf(model),
    inputs: [{ name: IMAGE, datatype: inputOf(ready).datatype, shape: [-1, ...inputOf(ready).dims] }],
    outputs: outputsOf(ready).map(({ dims, ...output }) => ({ ...output, shape: [-1, ...dims] })),
  };
}

/** As `GET /v2/models/NAME/config` answers. */
export function configOf(
  ready: ReadyModel,
  { maxImages, responseCacheMb }: Pick<Config, 'maxImages' | 'responseCacheMb'>,
): object {
  const { name, model } = ready;
  const { dims, format, dataType } = inputOf(ready);
  return {
    name,
    platform: platformOf(model),
    backend: 'fullconv',
    version_policy: { all: {} },
    max_batch_size: maxImages,
    input: [{ name: IMAGE, data_type: dataType, format, dims, optional: false }],
    output: outputsOf(ready).map((output) => ({
      name: output.name,
      data_type: `TYPE_${output.datatype}`,
      dims: output.dims,
      label_filename: '',
    })),
    dynamic_batching: {},
    response_cache: { enable: responseCacheMb > 0 },
    model_transaction_policy: { decoupled: false },
  };
}

function platformOf({ engine }: CompiledModel): string {
  return `fullconv_${engine}`;
}
