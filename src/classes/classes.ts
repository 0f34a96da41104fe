/**
 * From what a client calls a class to its index. A class is asked for by index (`386`), id (`n02504458`), label
 * (`African elephant`, in any case), `top`: the image's own best class, which only the network can resolve, or `none`:
 * whatever class is best at each position.
 */
import { ServiceError } from '../errors.js';
import type { Label } from '../models/manifest.js';
import { createClassSearch, distinctNames, withId } from './class-search.js';

/**
 * A class index below K, K + r for the image's own r-th best class (the convention of graph/passes/select-classes), or
 * ANY_CLASS.
 */
export type ClassSelector = number;

/** At each position the class that is best there. */
export const ANY_CLASS: ClassSelector = -1;

/** Classes of one answer; the dense view ranks as many of the image's best (graph/passes/select-classes.ts). */
export const MAX_CLASSES = 32;

/** Longer names than any label are not compared with all of them. */
const MAX_COMPARED = 64;
/**
 * What the nearest labels of a request's unknown names may cost the event loop: comparing a name with 1,000 labels takes
 * 1 to 3 ms. Of many unknown names the first few get suggestions; with more labels than this none does.
 */
const MAX_SUGGESTIONS = 4;
const MAX_COMPARISONS = 25_000;

/** The image's own best classes, best first; all of them where the model has fewer. */
export function bestClasses(count: number, labels: readonly Label[]): ClassSelector[] {
  return Array.from({ length: Math.min(count, labels.length) }, (_, rank) => labels.length + rank);
}

/**
 * Resolve the classes of a request, in order, duplicates kept. Throws CLASS_NOT_FOUND naming each unknown class and the
 * labels nearest to it.
 */
export function resolveClasses(names: readonly string[], labels: readonly Label[]): ClassSelector[] {
  const resolved = names.map((name) => resolveClass(name, labels));
  const unknown = names.filter((_, position) => resolved[position] === undefined);
  if (unknown.length > 0) {
    const suggestions = Math.min(MAX_SUGGESTIONS, Math.floor(MAX_COMPARISONS / labels.length));
    throw new ServiceError(
      'CLASS_NOT_FOUND',
      `The model has no class ${unknown.map((name) => `"${name}"`).join(', ')}.`,
      {
        errors: unknown.map((name, position) => ({
          parameter: 'class',
          detail: `"${name}" is neither top nor none, nor an index from 0 to ${labels.length - 1}, nor an id or a label of the model${position < suggestions ? suggestion(name, labels) : ''}`,
        })),
      },
    );
  }
  return resolved as ClassSelector[];
}

function resolveClass(name: string, labels: readonly Label[]): ClassSelector | undefined {
  switch (name.trim().toLowerCase()) {
    case 'top':
      return labels.length;
    case 'none':
      return ANY_CLASS;
    default:
      return findClass(name, labels);
  }
}

/**
 * The class of an index, an id, a label, or a label with its id (`crane (n03126707)`), in any case. Of classes whose labels
 * are alike it is the one in the same case (`Cardigan` is a dog, `cardigan` is knitted), and then the first.
 */
export function findClass(name: string, labels: readonly Label[]): number | undefined {
  const exact = name.trim();
  if (/^\d+$/.test(exact)) return Number(exact) < labels.length ? Number(exact) : undefined;
  const wanted = exact.toLowerCase();
  const { byName, byLowerCase, byLabelAndId } = indexOf(labels);
  return byName.get(exact) ?? byLowerCase.get(wanted) ?? byLabelAndId.get(wanted);
}

function suggestion(name: string, labels: readonly Label[]): string {
  const wanted = name.trim();
  if (/^\d+$/.test(wanted) || wanted.length > MAX_COMPARED) return '';
  const { search, names } = searchIn(labels);
  const nearest = search.nearest(wanted, 3).map((index) => `"${names[index]!}"`);
  return `; the nearest labels are ${nearest.join(', ')}`;
}

/** Of several classes of one name the first. */
interface ClassIndex {
  /** By id or label. */
  readonly byName: ReadonlyMap<string, number>;
  readonly byLowerCase: ReadonlyMap<string, number>;
  readonly byLabelAndId: ReadonlyMap<string, number>;
}

/** Made once for the labels of a load: a request may name many classes, and unknown ones as often as it likes. */
const indexOf = oncePerLabels((labels): ClassIndex => {
  const [byName, byLowerCase, byLabelAndId] = [0, 1, 2].map(() => new Map<string, number>());
  const add = (map: Map<string, number>, name: string, index: number): void => {
    if (!map.has(name)) map.set(name, index);
  };
  for (const [index, { id, label }] of labels.entries()) {
    for (const name of [id, label]) {
      add(byName!, name, index);
      add(byLowerCase!, name.toLowerCase(), index);
    }
    add(byLabelAndId!, withId(label, id).toLowerCase(), index);
  }
  return { byName: byName!, byLowerCase: byLowerCase!, byLabelAndId: byLabelAndId! };
});

const searchIn = oncePerLabels((labels) => ({ search: createClassSearch(labels), names: distinctNames(labels) }));

function oncePerLabels<T>(make: (labels: readonly Label[]) => T): (labels: readonly Label[]) => T {
  const made = new WeakMap<readonly Label[], T>();
  return (labels) => {
    const known = made.get(labels) ?? make(labels);
    made.set(labels, known);
    return known;
  };
}
