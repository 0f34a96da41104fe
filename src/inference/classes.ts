/**
 * From what a client calls a class to its index. A class is asked for by index (`386`), id (`n02504458`), label
 * (`African elephant`, in any case), `top`: the image's own best class, which only the network can resolve, or `none`:
 * whatever class is best at each position.
 */
import { distance } from 'fastest-levenshtein';
import { ServiceError } from '../errors.js';
import type { Label } from '../models/manifest.js';

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
    throw new ServiceError(
      'CLASS_NOT_FOUND',
      `The model has no class ${unknown.map((name) => `"${name}"`).join(', ')}.`,
      {
        errors: unknown.map((name) => ({
          parameter: 'class',
          detail: `"${name}" is neither top nor none, nor an index from 0 to ${labels.length - 1}, nor an id or a label of the model${suggestion(name, labels)}`,
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

/** The class of an index, an id or a label in any case. */
export function findClass(name: string, labels: readonly Label[]): number | undefined {
  const wanted = name.trim().toLowerCase();
  if (/^\d+$/.test(wanted)) return Number(wanted) < labels.length ? Number(wanted) : undefined;
  const index = labels.findIndex(({ id, label }) => id.toLowerCase() === wanted || label.toLowerCase() === wanted);
  return index < 0 ? undefined : index;
}

function suggestion(name: string, labels: readonly Label[]): string {
  const wanted = name.trim().toLowerCase();
  if (/^\d+$/.test(wanted) || wanted.length > MAX_COMPARED) return '';
  const nearest = labels
    .map(({ label }) => ({ label, edits: fewestEdits(wanted, label.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, 3)
    .map(({ label }) => `"${label}"`);
  return `; the nearest labels are ${nearest.join(', ')}`;
}

/** To the label, or to one of the names it lists (`tabby, tabby cat`); none to a label that has the name in it. */
function fewestEdits(wanted: string, label: string): number {
  if (label.includes(wanted)) return 0;
  return Math.min(...[label, ...label.split(/, */)].map((name) => distance(wanted, name)));
}
