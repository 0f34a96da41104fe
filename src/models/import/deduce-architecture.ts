/**
 * Which built-in architecture a state dict belongs to, by the names and shapes of its tensors. An architecture fits if
 * every parameter has a tensor, under the names of a known library and after one prefix, of the right shape, and if no
 * other tensor is left that would compute something. Widths, the number of classes, the stem and the side that a VGG
 * needs follow from shapes. Some nets have equal tensors and compute differently; which of them it is must be said.
 */
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  isArchitecture,
  nativeForm,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../architectures/index.js';
import { GraphError } from '../../graph/graph-error.js';
import { areSameLayer } from '../../graph/passes/bind-weights.js';
import { firstOf, libraryNamings } from '../networks/weight-names.js';
import { EXPORT } from './checkpoint.js';
import type { Conversion } from './conversion.js';

export interface Deduction {
  readonly architecture: ArchitectureName;
  /** Without `classes` and `inputSize`, which a manifest has elsewhere. */
  readonly options: ArchitectureOptions;
  readonly classes: number;
  /** The side that a head which reads the whole map wants; undefined if the net takes any. */
  readonly inputSize: number | undefined;
  readonly parameters: readonly { readonly name: string; readonly dims: readonly number[]; readonly tensor: string }[];
  readonly notes: readonly string[];
}

type Dims = readonly number[];
type Tensors = ReadonlyMap<string, Dims>;

/** Tensors that compute nothing when a net is only evaluated: counters, profilers, classifiers for training. */
const IDLE =
  /(^|\.)(num_batches_tracked|total_ops|total_params|n_averaged|(AuxLogits|aux1|aux2|aux_logits|aux_classifier)\..*)$/;

/** What a state dict may be asked for besides its tensors. */
export interface Hints {
  /** What the person states. */
  readonly stated?: string | undefined;
  /** What the training noted in the checkpoint. */
  readonly noted?: string | undefined;
}

/**
 * Find the architecture of the tensors, given by name. Throws GraphError saying which architecture they resemble and
 * what differs.
 */
export function deduceArchitecture(tensors: Tensors, { stated, noted }: Hints = {}): Deduction {
  if (stated !== undefined && !isArchitecture(stated)) {
    throw new GraphError(`the architecture "${stated}" is not built in; fullconv architectures lists those that are`);
  }
  const names: readonly ArchitectureName[] = stated === undefined ? ARCHITECTURE_NAMES : [stated];
  const views = names.flatMap((name) => viewsOf(name, tensors));
  const attempts = views.map((view) => ({ view, result: fit(view, tensors) }));
  const fits = attempts.flatMap(({ result }) => ('fits' in result ? [result.fits] : []));
  if (fits.length === 0) throw noneFits(attempts, tensors, stated);
  return choose(fits, noted);
}

/** The file of the deduced parameters in a model folder. */
const WEIGHTS_FILE = 'model.safetensors';

/** What a converter says of a file whose net was deduced; `what` is the file's content in words. */
export function deducedConversion(
  { architecture, options, classes, inputSize, notes }: Deduction,
  { what, stated }: { readonly what: string; readonly stated: string | undefined },
): Conversion {
  return {
    model: {
      architecture,
      weights: { file: WEIGHTS_FILE },
      ...(Object.keys(options).length > 0 && { options: { ...options } }),
    },
    classes,
    input: { ...(inputSize !== undefined && { size: inputSize }) },
    notes: [`${what}: ${architecture}${stated === undefined ? ', told from their names and shapes' : ''}.`, ...notes],
  };
}

// ---- names -------------------------------------------------------------------------------------------------------

/** An architecture whose parameters have names in the file. */
interface View {
  readonly architecture: ArchitectureName;
  /** In the published form. */
  readonly parameters: readonly { readonly name: string; readonly dims: Dims }[];
  readonly prefix: string;
  readonly nameOf: (parameter: string) => string;
  readonly missing: readonly string[];
  readonly notes: readonly string[];
}

/** The best names of an architecture's parameters in the file, if it has any of them. */
function viewsOf(architecture: ArchitectureName, tensors: Tensors): View[] {
  const parameters = parametersOf(buildArchitecture(architecture));
  const names = parameters.map(({ name }) => name);
  let head: Head | undefined;
  let best: View | undefined;
  for (const { nameOf } of libraryNamings(names)) {
    for (const prefix of prefixesOf(nameOf(names[0]!), tensors)) {
      const named = (name: string): string => prefix + nameOf(name);
      head ??= headOf(architecture, parameters);
      const renamed = renamedHead(head, named, tensors);
      const inFile = (name: string): string => renamed?.get(name) ?? named(name);
      const missing = names.filter((name) => !tensors.has(inFile(name)));
      if (best !== undefined && best.missing.length <= missing.length) continue;
      const notes =
        renamed === undefined ? [] : [`Its last layer is ${renamed.get(head.weight)!.replace(/\.weight$/, '')}.`];
      best = { architecture, parameters, prefix, nameOf: inFile, missing, notes };
    }
  }
  return best === undefined ? [] : [best];
}

/** What stands before `name` in the names of tensors. Modules that wrap a net for training put their own name there. */
function prefixesOf(name: string, tensors: Tensors): string[] {
  const prefixes: string[] = tensors.has(name) ? [''] : [];
  for (const known of tensors.keys()) {
    if (known.endsWith(`.${name}`)) prefixes.push(known.slice(0, -name.length));
  }
  return prefixes.sort((a, b) => a.length - b.length).slice(0, 16);
}

interface Head {
  readonly weight: string;
  readonly bias: string;
}

/** The layer whose size is the number of classes. */
function headOf(architecture: ArchitectureName, parameters: View['parameters']): Head {
  const { classes } = nativeForm(architecture);
  const others = parametersOf(buildArchitecture(architecture, { classes: classes + 1 }));
  const [weight, bias] = others.filter(({ dims }, index) => dims[0] !== parameters[index]!.dims[0]);
  return { weight: weight!.name, bias: bias?.name ?? '' };
}

/**
 * Names of a last layer that was replaced by a sequence with a single layer that has weights, as Dropout → Linear:
 * `fc.1.weight`. Undefined if the layer has its own name.
 */
function renamedHead(
  { weight, bias }: Head,
  nameOf: (name: string) => string,
  tensors: Tensors,
): ReadonlyMap<string, string> | undefined {
  if (tensors.has(nameOf(weight))) return undefined;
  const layer = nameOf(weight).replace(/weight$/, '');
  const inside = [...tensors.keys()].filter(
    (name) => name.startsWith(layer) && /^\d+\./.test(name.slice(layer.length)),
  );
  const found = inside.find((name) => name.endsWith('.weight'));
  if (inside.length !== 2 || found === undefined) return undefined;
  const foundBias = found.replace(/weight$/, 'bias');
  return tensors.has(foundBias)
    ? new Map([
        [weight, found],
        [bias, foundBias],
      ])
    : undefined;
}

// ---- shapes ------------------------------------------------------------------------------------------------------

interface Fit extends Deduction {
  /** How many options are not the published ones. */
  readonly changes: number;
}

/** The architecture with options under which all shapes agree, or what differs. */
function fit(view: View, tensors: Tensors): { readonly fits: Fit } | { readonly differs: string } {
  const { architecture, parameters, nameOf, prefix, missing } = view;
  if (missing.length > 0) return { differs: `"${nameOf(missing[0]!).slice(0, 100)}" is missing` };
  const dimsOf = (name: string): Dims => tensors.get(nameOf(name))!;
  const classes = dimsOf(headOf(architecture, parameters).weight)[0] ?? 0;
  let differs = '';
  for (const options of optionsFor(view, dimsOf)) {
    const built = attempt(() => parametersOf(buildArchitecture(architecture, { ...options, classes })));
    if (built === undefined) continue;
    const wrong = built.find(({ name, dims }) => !areSameLayer(dimsOf(name), dims));
    if (wrong !== undefined) {
      const found = dimsOf(wrong.name);
      differs ||= `"${nameOf(wrong.name).slice(0, 100)}" is [${found.join(', ')}], not [${wrong.dims.join(', ')}]`;
      continue;
    }
    const used = new Set(built.map(({ name }) => nameOf(name)));
    const surplus = surplusOf(tensors, used, prefix);
    if (surplus.inside !== undefined) return { differs: `it has "${surplus.inside.slice(0, 100)}" besides` };
    const { inputSize = nativeSideOf(view), ...others } = options;
    return {
      fits: {
        architecture,
        options: others,
        classes,
        inputSize: inputSize === undefined ? undefined : Number(inputSize),
        parameters: built.map(({ name, dims }) => ({ name, dims, tensor: nameOf(name) })),
        notes: [...view.notes, ...notesOf(view, others, surplus.outside)],
        changes: Object.keys(options).length,
      },
    };
  }
  return { differs: differs || 'its shapes are not those of the architecture' };
}

/** Options that may explain the shapes, the published ones first. */
function optionsFor(view: View, dimsOf: (name: string) => Dims): ArchitectureOptions[] {
  const { parameters } = view;
  const [first] = parameters;
  const stem = dimsOf(first!.name);
  const widths = new Set(
    parameters.slice(0, 40).flatMap(({ name }) => (dimsOf(name).length === 4 ? [dimsOf(name)[0]!] : [])),
  );
  const stems: ArchitectureOptions[] = [{}];
  if (stem.length === 4 && stem[2] === 7) stems.push({ stem: 'imagenet' });
  if (stem.length === 4 && stem[2] === 3) stems.push({ stem: 'cifar' }, { stem: 'compact' });
  const heads = headOptions(view, dimsOf);
  return [{}, ...[...widths].map((width) => ({ width }))].flatMap((width) =>
    stems.flatMap((form) => heads.map((head) => ({ ...width, ...form, ...head }))),
  );
}

/** Whether its first fully connected layer reads the whole map: that of a VGG, or of a localization net. */
function readsWholeMap({ architecture }: Pick<View, 'architecture'>): boolean {
  return /^(vgg|stn_|spatial_transformer)/.test(architecture);
}

function nativeSideOf(view: View): number | undefined {
  return readsWholeMap(view) ? nativeForm(view.architecture).inputSize : undefined;
}

/** Side and hidden width of a net whose first fully connected layer reads the whole map. */
function headOptions(view: View, dimsOf: (name: string) => Dims): ArchitectureOptions[] {
  const { parameters } = view;
  const hidden = parameters.find(({ name }) => name === 'classifier.0.weight');
  const convolution = parameters.findLast(({ name, dims }) => name.startsWith('features.') && dims.length === 4);
  if (hidden === undefined || convolution === undefined || !readsWholeMap(view)) return [{}];
  const [out = 0, features = 0, height = 1, width = 1] = dimsOf(hidden.name);
  const channels = dimsOf(convolution.name)[0] ?? 0;
  const side = Math.sqrt((features * height * width) / channels);
  return Number.isInteger(side) && side > 0 ? [{}, { hidden: out, inputSize: side * VGG_STRIDE }] : [{}];
}

/** Pixels from one cell of the last map to the next. */
const VGG_STRIDE = 32;

function attempt<T>(build: () => T): T | undefined {
  try {
    return build();
  } catch {
    // The architecture does not have this option, or not with this value.
    return undefined;
  }
}

/** Tensors that no parameter has: the first after the net's prefix, and those of other modules. */
function surplusOf(
  tensors: Tensors,
  used: ReadonlySet<string>,
  prefix: string,
): { readonly inside: string | undefined; readonly outside: readonly string[] } {
  const surplus = [...tensors.keys()].filter((name) => !used.has(name) && !IDLE.test(name));
  const isInside = (name: string): boolean => name.startsWith(prefix);
  return { inside: surplus.find(isInside), outside: surplus.filter((name) => !isInside(name)) };
}

function notesOf({ architecture }: View, options: ArchitectureOptions, outside: readonly string[]): string[] {
  const notes: string[] = [];
  if (options['stem'] === 'cifar') {
    notes.push(
      'Its first convolution is 3×3; read as the form for small images, stride 1 without pooling. If its stride is 2, ' +
        'set "stem": "compact" in the options of model.json.',
    );
  }
  if (outside.length > 0) notes.push(`Tensors of other modules are left out: ${firstOf(outside)}.`);
  if (architecture === 'inception_v3' || architecture === 'googlenet') {
    notes.push(
      "If it was trained from torchvision's own weights (transform_input), its mean and deviation are 0.5, 0.5, 0.5.",
    );
  }
  return notes;
}

// ---- choices -----------------------------------------------------------------------------------------------------

/** Nets that are seldom trained, whose tensors are also those of another, and how they differ from it. */
const SELDOM: readonly (readonly [name: RegExp, difference: string])[] = [
  // In Caffe and Keras; torch's nets have the stride on the 3×3 convolution.
  [/^resnet\d+_v1$/, 'with the stride on the first convolution of a block'],
  [/^plain\d+_cifar$/, 'without shortcuts'],
];

function differenceOf(architecture: string): string | undefined {
  return SELDOM.find(([name]) => name.test(architecture))?.[1];
}

function choose(fits: readonly Fit[], noted: string | undefined): Deduction {
  const fewest = Math.min(...fits.map(({ changes }) => changes));
  const best = fits.filter(({ changes }) => changes === fewest);
  const hinted = best.find(({ architecture }) => architecture === noted);
  if (hinted !== undefined) return hinted;
  const usual = best.filter(({ architecture }) => differenceOf(architecture) === undefined);
  const [first, ...others] = usual.length > 0 ? usual : best;
  if (others.length > 0) {
    const names = [first!, ...others].map(({ architecture }) => architecture).join(' and ');
    throw new GraphError(
      `its tensors are those of ${names}, which compute differently; say which it is with --architecture`,
    );
  }
  const twin = best.find(({ architecture }) => architecture !== first!.architecture);
  if (twin === undefined) return first!;
  return {
    ...first!,
    notes: [
      ...first!.notes,
      `The tensors are those of ${twin.architecture} too, ${differenceOf(twin.architecture)}: --architecture ${twin.architecture}.`,
    ],
  };
}

function noneFits(
  attempts: readonly { readonly view: View; readonly result: { readonly fits: Fit } | { readonly differs: string } }[],
  tensors: Tensors,
  stated: string | undefined,
): GraphError {
  const [best] = attempts
    .map((attempt) => ({ ...attempt, ...resemblanceOf(attempt.view, tensors) }))
    .sort((a, b) => b.likeness - a.likeness);
  const differs = best !== undefined && 'differs' in best.result ? best.result.differs : undefined;
  if (best === undefined || differs === undefined || (best.named < RESEMBLANCE && stated === undefined)) {
    const kin = KINDRED.find(([, pattern]) => [...tensors.keys()].some((name) => pattern.test(name)))?.[0];
    const whose = kin === undefined ? 'those of no built-in architecture' : `those of ${kin}, which is not built in`;
    const what = stated === undefined ? whose : `not those of ${stated}`;
    return new GraphError(`its tensors are ${what}; they begin with ${firstOf(tensors.keys())}; ${EXPORT}`);
  }
  const { architecture } = best.view;
  const resembles =
    stated === undefined
      ? `it resembles ${architecture} (${Math.floor(100 * best.named)} % of its tensors by name), but`
      : `it is not ${architecture}:`;
  return new GraphError(`${resembles} ${differs}; ${EXPORT}`);
}

/** The part of an architecture's tensors that the file has by name; and a figure that shapes and surplus count in, too. */
function resemblanceOf(
  { parameters, missing, nameOf }: View,
  tensors: Tensors,
): { readonly named: number; readonly likeness: number } {
  const found = parameters.length - missing.length;
  const fitting = parameters.filter(({ name, dims }) => {
    const known = tensors.get(nameOf(name));
    return known !== undefined && areSameLayer(known, dims);
  });
  const named = found / parameters.length;
  const counted = [...tensors.keys()].filter((name) => !IDLE.test(name)).length;
  return { named, likeness: named + fitting.length / parameters.length + found / Math.max(1, counted) };
}

/** Names of tensors that only these nets have, for messages. Source: torchvision/models, timm/models. */
const KINDRED: readonly (readonly [net: string, pattern: RegExp])[] = [
  ["torchvision's MobileNetV2", /(^|\.)features\.1\.conv\.0\.0\.weight$/],
  ["torchvision's MobileNetV3", /(^|\.)features\.1\.block\.0\.0\.weight$/],
  ["torchvision's EfficientNet", /(^|\.)features\.1\.0\.block\.0\.0\.weight$/],
  ['ConvNeXt', /(^|\.)(features\.1\.0\.layer_scale|stages\.0\.blocks\.0\.gamma)$/],
  ['RegNet', /(^|\.)(trunk_output\.block1\.|s1\.b1\.conv1\.)/],
  ['a Swin Transformer', /(^|\.)relative_position_bias_table$/],
  ['a Vision Transformer', /(^|\.)(class_token|cls_token)$/],
  ['ShuffleNetV2', /(^|\.)stage2\.0\.branch1\.0\.weight$/],
  ['MnasNet', /(^|\.)layers\.8\.0\.layers\.0\.weight$/],
  ["timm's MobileNet or EfficientNet", /(^|\.)blocks\.0\.0\.(conv_dw|conv)\.weight$/],
];

/** Part of an architecture's names that a state dict has at least if it is said to resemble it. */
const RESEMBLANCE = 0.3;
