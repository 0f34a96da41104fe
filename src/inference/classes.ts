/**
 * From what a client calls a class to its index. A class is asked for by index (`386`), id (`n02504458`), label
 * (`African elephant`, in any case), or `top`: the image's own best class, which only the network can resolve.
 */
import { ServiceError } from '../errors.js';
import type { Label } from '../models/manifest.js';

/** A class index below K, or K + r for the image's own r-th best class (the convention of graph/passes/select-classes). */
export type ClassSelector = number;

/** Resolve the classes of a request, in order, duplicates kept. Throws CLASS_NOT_FOUND naming each unknown class. */
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
          detail: `"${name}" is neither top, nor an index from 0 to ${labels.length - 1}, nor an id or a label of the model`,
        })),
      },
    );
  }
  return resolved as ClassSelector[];
}

function resolveClass(name: string, labels: readonly Label[]): ClassSelector | undefined {
  const wanted = name.trim().toLowerCase();
  if (wanted === 'top') return labels.length;
  if (/^\d+$/.test(wanted)) return Number(wanted) < labels.length ? Number(wanted) : undefined;
  const index = labels.findIndex(({ id, label }) => id.toLowerCase() === wanted || label.toLowerCase() === wanted);
  return index < 0 ? undefined : index;
}
