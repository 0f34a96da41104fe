/**
 * The state dict in a checkpoint: what torch.save was given may be the dict itself, or a dict of what a training needs to
 * go on, with the state dict under one of a few names.
 */
import type { Label } from '../manifest.js';
import { EXPORT } from './checkpoint.js';
import { OpaqueObject, PickledTensor, type Pickled } from './pickle.js';

export interface StateDict {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  /** The keys that lead to it; empty if it is the object itself. */
  readonly path: readonly string[];
}

/** Where it may be, the better ones first: the average of the weights is what a training is judged by. */
const PLACES = [
  ...['state_dict_ema', 'model_ema', 'ema_state_dict', 'ema', 'params_ema'],
  ...[
    'state_dict',
    'model_state_dict',
    'model_state',
    'state',
    'model',
    'net',
    'network',
    'weights',
    'params',
    'module',
  ],
  ...['backbone', 'encoder', 'classifier', 'student', 'model_weights', 'best_state', 'best_model'],
];

const MAX_DEPTH = 3;

/** Find the state dict. The result is why there is none, and what to do, if there is none. */
export function findStateDict(root: Pickled): StateDict | string {
  const found = search(root, []);
  if (found !== undefined) return found;
  const opaque = firstObject(root);
  if (opaque !== undefined) {
    return (
      `holds a whole Python object (${opaque.slice(0, 100)}), whose code is not in the file and is not executed; save the weights ` +
      `alone: torch.save(model.state_dict(), 'model.pt'), or ${EXPORT}`
    );
  }
  const keys = root instanceof Map ? [...root.keys()].slice(0, 5).map((key) => String(key).slice(0, 40)) : [];
  return `holds no state dict${keys.length > 0 ? `: it has ${keys.join(', ')}` : ''}`;
}

function search(value: Pickled, path: readonly string[]): StateDict | undefined {
  if (Array.isArray(value)) {
    const [first = null] = value as readonly Pickled[];
    return path.length < MAX_DEPTH ? search(first, [...path, '0']) : undefined;
  }
  if (!(value instanceof Map)) return undefined;
  const dictionary = value as ReadonlyMap<Pickled, Pickled>;
  const tensors = new Map<string, PickledTensor>();
  for (const [key, tensor] of dictionary) {
    if (typeof key === 'string' && tensor instanceof PickledTensor) tensors.set(key, tensor);
  }
  if (2 * tensors.size > dictionary.size) return { tensors, path };
  if (path.length >= MAX_DEPTH) return undefined;
  for (const place of PLACES) {
    const found = dictionary.has(place) ? search(dictionary.get(place)!, [...path, place]) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The class of the first object that is no plain data, and may be the model. */
function firstObject(root: Pickled): string | undefined {
  if (root instanceof OpaqueObject) return root.name;
  if (!(root instanceof Map)) return undefined;
  const dictionary = root as ReadonlyMap<Pickled, Pickled>;
  const found = PLACES.map((place) => dictionary.get(place)).find((value) => value instanceof OpaqueObject);
  return found instanceof OpaqueObject ? found.name : undefined;
}

/** Keys under which trainings keep the names of the classes: in order, by index, or by name. */
const LABEL_PLACES = [
  ...[
    'classes',
    'class_names',
    'labels',
    'names',
    'categories',
    'class_to_idx',
    'idx_to_class',
    'id2label',
    'label_map',
  ],
];

/** The names of `count` classes that stand beside the state dict; undefined if there are none, or not as many. */
export function findLabels(root: Pickled, count: number): readonly Label[] | undefined {
  if (!(root instanceof Map)) return undefined;
  const dictionary = root as ReadonlyMap<Pickled, Pickled>;
  for (const place of LABEL_PLACES) {
    const names = namesIn(dictionary.get(place) ?? null, count);
    if (names !== undefined && new Set(names).size === count) return names.map((label) => ({ id: label, label }));
  }
  return undefined;
}

function namesIn(value: Pickled, count: number): readonly string[] | undefined {
  if (Array.isArray(value)) {
    const names = value as readonly Pickled[];
    return names.length === count && names.every(isName) ? names : undefined;
  }
  if (!(value instanceof Map) || value.size !== count) return undefined;
  const names: (string | undefined)[] = Array.from({ length: count });
  for (const [a, b] of value as ReadonlyMap<Pickled, Pickled>) {
    const [index, name] = typeof b === 'number' ? [b, a] : [Number(a), b];
    if (isName(name) && Number.isInteger(index) && index >= 0 && index < count) names[index] = name;
  }
  return names.every(isName) ? names : undefined;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** The name of the architecture that a training noted; undefined if it did not. */
export function notedArchitecture(root: Pickled): string | undefined {
  if (!(root instanceof Map)) return undefined;
  const dictionary = root as ReadonlyMap<Pickled, Pickled>;
  const noted = ['arch', 'architecture', 'model_name', 'arch_name'].map((place) => dictionary.get(place));
  return noted.find((name) => typeof name === 'string');
}
