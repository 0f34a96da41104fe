/**
 * Model folders of Hugging Face: `config.json`, `model.safetensors`, and `preprocessor_config.json` for transformers' nets.
 * The weights are copied as they are; the configuration becomes an architecture that is built in, labels and preprocessing.
 *
 * Source: transformers, models/resnet/configuration_resnet.py and modeling_resnet.py, models/convnext/
 * image_processing_convnext.py, image_processing_base.py; timm, models/_hub.py (save_config_for_hf), data/config.py.
 */
import { basename, dirname, join } from 'node:path';
import { readdir } from 'node:fs/promises';
import { z } from 'zod';
import { buildArchitecture, isArchitecture, parametersOf, type ArchitectureName } from '../../architectures/index.js';
import { OperatorError } from '../../errors.js';
import { copyModelFile } from '../files/file-access.js';
import { readJson } from '../files/json-file.js';
import { ModelFileError } from '../files/model-file-error.js';
import { shellWord } from '../files/shell-word.js';
import { readSafetensors } from '../files/safetensors.js';
import type { InputPreset, Label, Manifest } from '../manifest.js';
import { findNaming } from '../networks/weight-names.js';
import { readCatalog } from '../pull/catalog.js';
import { unknownArchitecture, type Conversion, type Converter } from './conversion.js';
import { labelsOfNames } from './label-text.js';
import { readProcessor, type Processor } from './processor-config.js';

const WEIGHTS_FILE = 'model.safetensors';

const resnetSchema = z.looseObject({
  model_type: z.literal('resnet'),
  num_channels: z.number().default(3),
  embedding_size: z.number().int().positive().default(64),
  hidden_sizes: z.array(z.number().int().positive()).default([256, 512, 1024, 2048]),
  depths: z.array(z.number().int().positive()).default([3, 4, 6, 3]),
  layer_type: z.enum(['basic', 'bottleneck']).default('bottleneck'),
  hidden_act: z.string().default('relu'),
  downsample_in_first_stage: z.boolean().default(false),
  downsample_in_bottleneck: z.boolean().default(false),
});

const timmSchema = z.looseObject({
  architecture: z.string().min(1).max(100),
  num_classes: z.number().int().positive().optional(),
  label_names: z.array(z.string()).optional(),
  label_descriptions: z.unknown().optional(),
  model_args: z.record(z.string(), z.unknown()).optional(),
  pretrained_cfg: z
    .looseObject({
      tag: z.string().nullish(),
      mean: z.array(z.number()).optional(),
      std: z.array(z.number()).optional(),
      input_size: z.array(z.number().int()).optional(),
      crop_pct: z.number().positive().optional(),
      crop_mode: z.string().optional(),
      interpolation: z.string().optional(),
      label_names: z.array(z.string()).optional(),
    })
    .default({}),
});

const labelledSchema = z.looseObject({ id2label: z.record(z.string(), z.string()).optional() });

type Config = Readonly<Record<string, unknown>>;

/** What a configuration says of the net. */
type Described = Pick<Conversion, 'classes' | 'labels' | 'input' | 'notes'> & {
  readonly architecture: ArchitectureName;
  readonly options?: Manifest['options'];
};

/** The Converter of these folders; `file` is their config.json. */
export const convertHuggingFace: Converter = async (file, folder, stated): Promise<Conversion> => {
  const { value: config } = await readJson(file, z.record(z.string(), z.unknown()));
  const described = await describeConfig(file, config, stated.architecture);
  const { architecture, options, ...rest } = described;
  const weights = await weightsBeside(file);
  // The tensors' types and names are checked before anything is copied.
  const classes = classesIn(weights, architecture, (await readSafetensors(weights)).tensors);
  const sha256 = await copyModelFile(weights, join(folder, WEIGHTS_FILE));
  return {
    ...rest,
    classes,
    model: { architecture, ...(options && { options }), weights: { file: WEIGHTS_FILE, sha256 } },
  };
};

/** The number of classes that a file has for an architecture: of its last bias. Throws ModelFileError if it has other tensors. */
function classesIn(
  file: string,
  architecture: ArchitectureName,
  tensors: ReadonlyMap<string, { readonly dims: readonly number[] }>,
): number {
  const names = parametersOf(buildArchitecture(architecture)).map(({ name }) => name);
  const { nameOf } = findNaming(file, names, tensors);
  return tensors.get(nameOf(names.at(-1)!))!.dims[0] ?? 0;
}

/** What the files beside a model in another format say. */
export type BesideConfig = Partial<Pick<Conversion, 'labels' | 'input' | 'notes'>>;

/** The names of classes and the preprocessing in the files beside a model in another format, e.g. ONNX; empty if there are none. */
export async function readBesideConfig(folder: string): Promise<BesideConfig> {
  // Optimum keeps its files in a folder of their own.
  for (const place of [folder, ...(basename(folder) === 'onnx' ? [dirname(folder)] : [])]) {
    const config = await readJson(join(place, 'config.json'), z.record(z.string(), z.unknown())).catch(() => undefined);
    if (typeof (config?.value['model_type'] ?? config?.value['architecture']) !== 'string') continue;
    const timm = timmSchema.safeParse(config!.value).data;
    const processor = timm === undefined ? await readProcessor(place) : timmProcessor(timm);
    return { labels: labelsOf(config!.value) ?? labelsOfNames(timm?.label_names ?? []), ...processor };
  }
  return {};
}

async function weightsBeside(config: string): Promise<string> {
  const folder = dirname(config);
  const names = (await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort();
  const [only] = names.includes(WEIGHTS_FILE) ? [WEIGHTS_FILE] : names;
  if (names.length > 1 && only !== WEIGHTS_FILE) {
    throw new ModelFileError(
      config,
      'weights',
      `lie in ${names.length} files (${names.slice(0, 2).join(', ')}, …); save them as one: model.save_pretrained(folder, max_shard_size="100GB")`,
    );
  }
  return join(folder, only ?? WEIGHTS_FILE);
}

async function describeConfig(file: string, config: Config, stated: string | undefined): Promise<Described> {
  if (stated !== undefined && !isArchitecture(stated)) throw unknownArchitecture(stated);
  if (typeof config['architecture'] === 'string') return describeTimm(file, config, stated);
  const processor = await readProcessor(dirname(file));
  const labels = labelsOf(config);
  const common = { labels, classes: labels?.length, input: processor?.input, notes: processor?.notes ?? [] };
  if (stated !== undefined) return { ...common, architecture: stated };
  const type = config['model_type'];
  if (type === 'resnet') return { ...common, ...resnetOf(file, config) };
  throw cannotBuild(file, typeof type === 'string' ? type : 'unknown', 'optimum');
}

/** The one command that exports a net that is not built in. */
function cannotBuild(file: string, name: string, how: 'optimum' | 'timm'): OperatorError {
  const command =
    how === 'optimum'
      ? `optimum-cli export onnx --task image-classification --model ${shellWord(basename(dirname(file)))} exported (pip install "optimum[onnxruntime]")`
      : `python -c "import timm, torch; model = timm.create_model('local-dir:${basename(dirname(file))}', pretrained=True).eval(); ` +
        `torch.onnx.export(model, torch.zeros(1, *model.pretrained_cfg['input_size']), 'model.onnx')"`;
  return new OperatorError(
    `${file}: the net "${name.slice(0, 100)}" is not built in (fullconv architectures lists what is); export it to ONNX and ` +
      `import that: ${command}`,
  );
}

function labelsOf(config: Config): Label[] | undefined {
  const { id2label } = labelledSchema.safeParse(config).data ?? {};
  if (id2label === undefined) return undefined;
  const entries = Object.entries(id2label).sort(([a], [b]) => Number(a) - Number(b));
  const isComplete = entries.every(([key], index) => Number(key) === index);
  // transformers itself writes LABEL_0, … where it has no names.
  const isNamed = entries.some(([, name], index) => name !== `LABEL_${index}`);
  if (!isComplete || entries.length === 0) return undefined;
  return isNamed
    ? labelsOfNames(entries.map(([, name]) => name))
    : entries.map(([, name]) => ({ id: name, label: name }));
}

/** transformers' ResNets that are the same as ours, by blocks. */
const RESNETS: readonly (readonly [architecture: ArchitectureName, layer: 'basic' | 'bottleneck', depths: string])[] = [
  ['resnet18', 'basic', '2,2,2,2'],
  ['resnet34', 'basic', '3,4,6,3'],
  ['resnet50', 'bottleneck', '3,4,6,3'],
  ['resnet101', 'bottleneck', '3,4,23,3'],
  ['resnet152', 'bottleneck', '3,8,36,3'],
];

/** transformers' names of activations, as the builders call them. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
  relu: 'relu',
  relu6: 'relu6',
  leaky_relu: 'leaky_relu',
  elu: 'elu',
};

function resnetOf(file: string, config: Config): Pick<Described, 'architecture' | 'options'> {
  const parsed = resnetSchema.safeParse(config);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ModelFileError(file, issue?.path.join('.') ?? 'file', issue?.message ?? 'is invalid');
  }
  const net = parsed.data;
  const { layer_type: layer, depths, embedding_size: width, hidden_sizes: sizes } = net;
  const found = RESNETS.find(([, type, blocks]) => type === layer && blocks === depths.join());
  const expansion = layer === 'bottleneck' ? 4 : 1;
  const isRegular = sizes.every((size, stage) => size === width * expansion * 2 ** stage) && net.num_channels === 3;
  const activation = ACTIVATIONS[net.hidden_act];
  if (found === undefined || !isRegular || activation === undefined || net.downsample_in_first_stage) {
    throw cannotBuild(
      file,
      `resnet with ${layer} blocks ${depths.join('-')} of ${sizes.join(', ')} channels`,
      'optimum',
    );
  }
  const [architecture] = found;
  const options = { ...(width !== 64 && { width }), ...(activation !== 'relu' && { activation }) };
  return {
    architecture:
      net.downsample_in_bottleneck && layer === 'bottleneck'
        ? (`${architecture}_v1` as ArchitectureName)
        : architecture,
    ...(Object.keys(options).length > 0 && { options }),
  };
}

/** Arguments of timm's nets that leave them as they are built in, by their values. */
const USUAL_ARGS: Readonly<Record<string, (value: unknown) => boolean>> = {
  num_classes: () => true,
  in_chans: (value) => value === 3,
  global_pool: (value) => value === 'avg' || value === '' || value === null,
  drop_rate: () => true,
  drop_path_rate: () => true,
  pretrained: () => true,
  scriptable: () => true,
};

async function describeTimm(file: string, config: Config, stated: ArchitectureName | undefined): Promise<Described> {
  const parsed = timmSchema.safeParse(config);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ModelFileError(file, issue?.path.join('.') ?? 'file', issue?.message ?? 'is invalid');
  }
  const timm = parsed.data;
  const [name = ''] = timm.architecture.split('.');
  const catalog = await readCatalog();
  const architecture = stated ?? timmArchitecture(name, catalog.models);
  const args = Object.entries(timm.model_args ?? {}).flatMap(([key, value]) => (USUAL_ARGS[key]?.(value) ? [] : [key]));
  if (architecture === undefined || (args.length > 0 && stated === undefined)) {
    throw cannotBuild(file, args.length > 0 ? `${name} with ${args.join(', ')}` : name, 'timm');
  }
  const classes = timm.num_classes;
  const names = timm.label_names ?? timm.pretrained_cfg.label_names;
  const isImageNet = classes === 1000 && /(^|_)in1k$/.test(timm.pretrained_cfg.tag ?? '');
  return {
    architecture,
    classes,
    labels:
      names === undefined ? (isImageNet ? catalog.labels : undefined) : namedByTimm(names, timm.label_descriptions),
    ...timmProcessor(timm),
  };
}

/** WordNet's ids, which timm takes for names, get the descriptions as names. */
function namedByTimm(names: readonly string[], descriptions: unknown): Label[] {
  const texts = z.record(z.string(), z.string()).safeParse(descriptions).data ?? {};
  return labelsOfNames(names).map((label, index) => {
    const name = names[index]!;
    const text = texts[name];
    return text === undefined ? label : { id: name, label: text };
  });
}

/** The built-in net of timm's name: the same name, or that of the catalog. */
function timmArchitecture(
  name: string,
  models: readonly { readonly name: string; readonly architecture: ArchitectureName }[],
): ArchitectureName | undefined {
  if (isArchitecture(name) && !/_cifar$|^plain|^preresnet/.test(name)) return name;
  return models.find((entry) => entry.name.split('.')[0] === name)?.architecture;
}

const INTERPOLATIONS: Readonly<Record<string, InputPreset['interpolation']>> = {
  nearest: 'nearest',
  bilinear: 'bilinear',
  bicubic: 'bicubic',
  lanczos: 'lanczos3',
};

function timmProcessor({ pretrained_cfg: given }: z.output<typeof timmSchema>): Processor {
  const {
    mean,
    std,
    input_size: shape,
    crop_pct: crop = 0.875,
    crop_mode: mode = 'center',
    interpolation = 'bilinear',
  } = given;
  const size = shape?.[2];
  const filter = INTERPOLATIONS[interpolation];
  const isStretched = mode === 'squash' && crop >= 1;
  const input: Partial<InputPreset> = {
    // timm rounds down: data/transforms_factory.py, scale_size.
    ...(size !== undefined && { size, resize: Math.max(size, Math.floor(size / crop)) }),
    ...(isStretched && { fit: 'stretch' }),
    ...(filter !== undefined && { interpolation: filter }),
    channels: 'RGB',
    range: 255,
    ...(mean?.length === 3 && { mean: mean as [number, number, number] }),
    ...(std?.length === 3 && { std: std as [number, number, number] }),
  };
  const isSame = mode === 'center' || isStretched;
  return { input, notes: isSame ? [] : [`timm's crop_mode is "${mode.slice(0, 20)}"; here the middle is cut out`] };
}
