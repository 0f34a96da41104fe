/**
 * From what a client calls a class to its index. A class is asked for by index (`386`), id (`n02504458`), label
 * (`African elephant`, in any case), `top`: the image's own best class, which only the network can resolve, or `none`:
 * whatever class is best at each position.
 */
import { ServiceError } from '../errors.js';
import type { Label } from '../models/manifest.js';
import { createClassSearch, distinctNames, withId, type ClassSearch } from './class-search.js';

/**
 * A class index below K, K + r for the image's own r-th best class (the convention of graph/passes/select-classes), or
 * ANY_CLASS.
 */
export type ClassSelector = number;

/** At each position the class that is best there. */
export const ANY_CLASS: ClassSelector = -1;

/** Classes of one answer; the dense view ranks as many of the image's best (graph/passes/select-classes.ts). */
export const MAX_CLASSES = 32;

/** Longer names than any label are not compared with all of them, and of many unknown ones only the first. */
const MAX_COMPARED = 64;
const MAX_SUGGESTIONS = 4;

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
    const search = createClassSearch(labels);
    throw new ServiceError(
      'CLASS_NOT_FOUND',
      `The model has no class ${unknown.map((name) => `"${name}"`).join(', ')}.`,
      {
        errors: unknown.map((name, position) => ({
          parameter: 'class',
          detail: `"${name}" is neither top nor none, nor an index from 0 to ${labels.length - 1}, nor an id or a label of the model${position < MAX_SUGGESTIONS ? suggestion(name, labels, search) : ''}`,
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
  const wanted = exact.toLowerCase();
  if (/^\d+$/.test(wanted)) return Number(wanted) < labels.length ? Number(wanted) : undefined;
  const first = (isIt: (label: Label) => boolean): number => labels.findIndex(isIt);
  const index = [
    first(({ id, label }) => id === exact || label === exact),
    first(({ id, label }) => id.toLowerCase() === wanted || label.toLowerCase() === wanted),
    first(({ id, label }) => withId(label, id).toLowerCase() === wanted),
  ].find((found) => found >= 0);
  return index;
}

function suggestion(name: string, labels: readonly Label[], search: ClassSearch): string {
  const wanted = name.trim();
  if (/^\d+$/.test(wanted) || wanted.length > MAX_COMPARED) return '';
  const names = distinctNames(labels);
  const nearest = search.nearest(wanted, 3).map((index) => `"${names[index]!}"`);
  return `; the nearest labels are ${nearest.join(', ')}`;
}
