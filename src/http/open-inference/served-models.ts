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
import type { ModelEntry, Registry } from '../../models/registry.js';
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
  /** Absent: the newest. */
  readonly version?: string | undefined;
}

/** Throws MODEL_NOT_FOUND for a model or a version that is not there. */
export function findModel(registry: Pick<Registry, 'entry' | 'has'>, { name, version }: ModelAddress): Served {
  const served = servedAs(registry, name);
  const { model } = served.entry;
  if (version !== undefined && model !== undefined && model.manifest.version !== version) {
    throw new ServiceError(
      'MODEL_NOT_FOUND',
      `The model "${name}" has no version ${version}; it has ${model.manifest.version}.`,
    );
  }
  if (served.asked === 'maps' && model !== undefined && 'unavailable' in model.dense) {
    throw new ServiceError('MODEL_NOT_FOUND', `There is no model "${name}": ${model.dense.unavailable}.`);
  }
  return served;
}

/** Throws MODEL_NOT_FOUND, or MODEL_NOT_READY with the reason. */
export function findReadyModel(registry: Pick<Registry, 'entry' | 'has'>, address: ModelAddress): ReadyModel {
  const served = findModel(registry, address);
  const { model, state, reason } = served.entry;
  if (model !== undefined) return { ...served, model };
  throw new ServiceError(
    'MODEL_NOT_READY',
    `The model "${served.name}" is ${state}${reason === undefined ? '' : `: ${reason}`}.`,
  );
}

function servedAs(registry: Pick<Registry, 'entry' | 'has'>, name: string): Served {
  const found = Object.entries(FORMS).find(([suffix]) => name.endsWith(suffix) && registry.has(baseOf(name, suffix)));
  const [suffix, form] = found ?? ['', FORMS['']];
  return { name, ...form, entry: registry.entry(baseOf(name, suffix)) };
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

/** As `GET /v2/models/NAME` answers. */
export function metadataOf(ready: ReadyModel): object {
  const { name, model } = ready;
  return {
    name,
    versions: [model.manifest.version],
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
    version_policy: { latest: { num_versions: 1 } },
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
