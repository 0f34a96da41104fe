/**
 * Which dataset of a Keras file is which weight of which layer.
 *
 * Whole models in HDF5 have a group for each layer of the outermost model, with an attribute `weight_names`. The group
 * of a nested model has the weights of all layers in it: first the trainable ones, then the others, each in the order of
 * the layers. Their names were given when the layers were made, so they need not be those of the layers.
 *
 * Keras 3's weights in `.keras` have a group for each layer at every level, named by the class and a count, and in it
 * `vars/0`, `vars/1`, … in the order of the layer's weights.
 *
 * Sources: keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py.
 */
import { GraphError } from '../../graph/graph-error.js';
import type { Hdf5File } from '../files/hdf5.js';
import { leavesOf, type KerasNode } from './keras-tree.js';

export interface KerasWeight {
  /** `outer/inner/layer/kernel`, as keras/weight-names.ts looks for it. */
  readonly name: string;
  /** Path in the HDF5 file. */
  readonly dataset: string;
}

interface Leaf {
  readonly node: KerasNode;
  /** Names of the models around it and its own. */
  readonly path: readonly string[];
}

const normalization = ({ scale, center }: Readonly<Record<string, unknown>>): string[] => [
  ...(scale === false ? [] : ['gamma']),
  ...(center === false ? [] : ['beta']),
  ...['moving_mean', 'moving_variance'],
];
const withBias =
  (...kernels: string[]) =>
  ({ use_bias: uses }: Readonly<Record<string, unknown>>): string[] => [
    ...kernels,
    ...(uses === false ? [] : ['bias']),
  ];

/** The weights of a layer by its class and options, in Keras' order. */
const WEIGHTS: ReadonlyMap<string, (config: Readonly<Record<string, unknown>>) => string[]> = new Map([
  ['Conv2D', withBias('kernel')],
  ['Dense', withBias('kernel')],
  ['DepthwiseConv2D', withBias('depthwise_kernel')],
  ['SeparableConv2D', withBias('depthwise_kernel', 'pointwise_kernel')],
  ['BatchNormalization', normalization],
  ['BatchNormalizationV1', normalization],
  ['BatchNormalizationV2', normalization],
  ['SyncBatchNormalization', normalization],
  ['PReLU', () => ['alpha']],
  // Its moments are options if they were given.
  ['Normalization', ({ mean }) => (mean == null ? ['mean', 'variance'] : [])],
]);

function weightsOf({ className, config }: KerasNode): readonly string[] {
  return WEIGHTS.get(className)?.(config) ?? [];
}

/** `moving_*` and the moments of a Normalization are never trained. */
const NEVER_TRAINED = new Set(['moving_mean', 'moving_variance', 'mean', 'variance']);

/** Names that older and newer versions have for a weight. */
const OTHER_NAMES = new Map([
  ['depthwise_kernel', ['kernel']],
  ['moving_mean', ['running_mean']],
  ['moving_variance', ['running_std', 'running_var']],
]);

/** A weight in a group: the parts of its name, and its dataset. */
interface Stored {
  /** The parts before the last. */
  readonly owner: readonly string[];
  /** The last part, without the number of the output (`kernel:0`). */
  readonly kind: string;
  readonly dataset: string;
}

// ---- whole models in HDF5 ----------------------------------------------------------------------------------------

/** The weights in the group `root` of a whole model. Throws GraphError naming the layer, and ModelFileError. */
export function weightsInHdf5(file: Hdf5File, layers: readonly KerasNode[], root = '/model_weights'): KerasWeight[] {
  return layers.flatMap((layer) => {
    const leaves = leavesOf([layer]).filter(({ node }) => weightsOf(node).length > 0);
    if (leaves.length === 0) return [];
    const stored = storedIn(file, `${root}/${layer.name}`);
    if (stored === undefined) throw new GraphError(`layer "${layer.name}": its weights are missing`);
    const [leaf] = leaves;
    if (layer.layers === undefined) return assign(leaf!, stored);
    return assignAll(layer.name, leaves, stored);
  });
}

function storedIn(file: Hdf5File, group: string): Stored[] | undefined {
  if (file.names(group) === undefined) return undefined;
  return weightNames(file, group)?.map((name) => {
    const parts = name.split('/');
    return { owner: parts.slice(0, -1), kind: parts.at(-1)!.replace(/:\d+$/, ''), dataset: `${group}/${name}` };
  });
}

/** Long lists are cut into `weight_names0`, `weight_names1`, … */
function weightNames(file: Hdf5File, group: string): readonly string[] | undefined {
  const whole = file.texts(group, 'weight_names');
  if (whole !== undefined) return whole;
  const pieces: string[] = [];
  for (let index = 0; ; index += 1) {
    const piece = file.texts(group, `weight_names${index}`);
    if (piece === undefined) return index === 0 ? undefined : pieces;
    pieces.push(...piece);
  }
}

/** The weights of one layer: by their names, or in Keras' order if they have others. */
function assign({ node, path }: Leaf, stored: readonly Stored[]): KerasWeight[] {
  const wanted = weightsOf(node);
  const named = wanted.map((kind) => findKind(stored, kind));
  const found = named.every((weight) => weight !== undefined) ? named : stored;
  if (found.length !== wanted.length) {
    const has = stored.map(({ kind }) => kind.slice(0, 80)).join(', ') || 'none';
    throw new GraphError(`layer "${path.join('/')}": needs the weights ${wanted.join(', ')}, has ${has}`);
  }
  return wanted.map((kind, index) => ({ name: [...path, kind].join('/'), dataset: found[index]!.dataset }));
}

function findKind(stored: readonly Stored[], kind: string): Stored | undefined {
  const names = [kind, ...(OTHER_NAMES.get(kind) ?? [])];
  return stored.find((weight) => names.includes(weight.kind));
}

/** The weights of the layers of a nested model. */
function assignAll(model: string, leaves: readonly Leaf[], stored: readonly Stored[]): KerasWeight[] {
  const owners = new Map<string, Stored[]>();
  for (const weight of stored) {
    const key = weight.owner.join('/');
    const known = owners.get(key);
    if (known === undefined) owners.set(key, [weight]);
    else known.push(weight);
  }
  const named = ownersByName(leaves, owners);
  if (named !== undefined) return leaves.flatMap((leaf) => assign(leaf, owners.get(named.get(leaf)!)!));
  return assignInOrder(model, leaves, stored);
}

/** The owner of each layer's weights, if every layer has one whose name ends in the layer's, and no two have the same. */
function ownersByName(
  leaves: readonly Leaf[],
  owners: ReadonlyMap<string, readonly Stored[]>,
): ReadonlyMap<Leaf, string> | undefined {
  const byLast = new Map<string, string[]>();
  for (const key of owners.keys()) {
    const last = key.slice(key.lastIndexOf('/') + 1);
    byLast.set(last, [...(byLast.get(last) ?? []), key]);
  }
  const found = new Map<Leaf, string>();
  const taken = new Set<string>();
  for (const leaf of leaves) {
    const candidates = byLast.get(leaf.path.at(-1)!) ?? [];
    const [best] = [...candidates].sort((a, b) => commonEnd(b, leaf.path) - commonEnd(a, leaf.path));
    if (best === undefined || taken.has(best)) return undefined;
    taken.add(best);
    found.set(leaf, best);
  }
  return found;
}

/** How many of the last parts of a name are those of a path; parts that the name has alone are skipped. */
function commonEnd(name: string, path: readonly string[]): number {
  let position = path.length - 1;
  for (const part of name.split('/').toReversed()) if (position >= 0 && part === path[position]) position -= 1;
  return path.length - 1 - position;
}

/** Weights whose names say nothing, in the order in which Keras writes them. */
function assignInOrder(model: string, leaves: readonly Leaf[], stored: readonly Stored[]): KerasWeight[] {
  const all = leaves.flatMap((leaf) => weightsOf(leaf.node).map((kind) => ({ leaf, kind })));
  const isTrained = ({ leaf, kind }: (typeof all)[number]): boolean =>
    leaf.node.isTrainable && !NEVER_TRAINED.has(kind);
  const wanted = [...all.filter(isTrained), ...all.filter((weight) => !isTrained(weight))];
  const fits =
    stored.length === wanted.length &&
    wanted.every(({ kind }, index) => [kind, ...(OTHER_NAMES.get(kind) ?? [])].includes(stored[index]!.kind));
  if (!fits) {
    const detail = `needs ${wanted.length} weights of ${leaves.length} layers; its names do not say which of the ${stored.length} in the file these are`;
    throw new GraphError(`layer "${model}": ${detail}`);
  }
  return wanted.map(({ leaf, kind }, index) => ({
    name: [...leaf.path, kind].join('/'),
    dataset: stored[index]!.dataset,
  }));
}

// ---- the weights of `.keras` -------------------------------------------------------------------------------------

/** The weights in the model.weights.h5 of a `.keras` archive. Throws GraphError naming the layer, and ModelFileError. */
export function weightsInArchive(file: Hdf5File, layers: readonly KerasNode[]): KerasWeight[] {
  const top = file.names('/') ?? [];
  // TensorFlow's own Keras, up to 2.15, has another name for the list of layers.
  const list = LAYER_LISTS.find((name) => top.includes(name));
  if (list === undefined) throw new GraphError('model.weights.h5 has no group of layers');
  return weightsInList(file, layers, { list, group: '', path: [] });
}

const LAYER_LISTS = ['layers', '_layer_checkpoint_dependencies'];

function weightsInList(
  file: Hdf5File,
  layers: readonly KerasNode[],
  { list, group, path: parents }: { readonly list: string; readonly group: string; readonly path: readonly string[] },
): KerasWeight[] {
  const counts = new Map<string, number>();
  return layers.flatMap((node) => {
    const base = snakeCase(node.className === 'Model' ? 'Functional' : node.className);
    const count = counts.get(base) ?? 0;
    counts.set(base, count + 1);
    const own = `${group}/${list}/${count === 0 ? base : `${base}_${count}`}`;
    const path = [...parents, node.name];
    if (node.layers !== undefined) return weightsInList(file, node.layers, { list, group: own, path });
    const wanted = weightsOf(node);
    if (wanted.length === 0) return [];
    const there = file.names(`${own}/vars`) ?? [];
    const missing = wanted.findIndex((_, index) => !there.includes(String(index)));
    if (missing >= 0)
      throw new GraphError(`layer "${path.join('/')}": its weight ${wanted[missing]!} is missing (${own})`);
    return wanted.map((kind, index) => ({ name: [...path, kind].join('/'), dataset: `${own}/vars/${index}` }));
  });
}

/** As Keras makes names of classes: `BatchNormalization` → `batch_normalization`, `PReLU` → `p_re_lu`. */
function snakeCase(name: string): string {
  return name
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}
