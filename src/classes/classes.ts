/**
 * Resolves a client's names of classes to indices. A class is named by its index (`386`), id (`n02504458`) or label
 * (`African elephant`, in any case). `top` is the image's own best class, which only the network can resolve. `none` is
 * the best class of each position.
 *
 * Labels may be anything: `1984`, `top`, `Fish, & chips (50 %)`. `index:3`, `id:n02504458` and `label:top` say which of the three
 * is meant. A number that is the index of one class and the label or id of another must say so.
 */
import { ServiceError } from '../errors.js';
import type { Label } from '../models/manifest.js';
import { createClassSearch, distinctNames, withId } from './class-search.js';
import { normalized } from './normalized.js';

/**
 * A class index below K, K + r for the image's own class of rank r, from 0 (the convention of
 * graph/passes/select-classes), or ANY_CLASS.
 */
export type ClassSelector = number;

/** The best class of each position. */
export const ANY_CLASS: ClassSelector = -1;

/**
 * The most classes that a request may name, and the most of the image's own best that it may ask for; the dense view
 * ranks as many (graph/passes/select-classes.ts).
 */
export const MAX_CLASSES = 32;

/** Names longer than any label are not compared with the labels. */
const MAX_COMPARED = 64;
/**
 * Bounds for the time that the nearest labels of a request's unknown names take from the event loop: comparing a name
 * with 1,000 labels takes 1 to 3 ms. Only the first few unknown names get suggestions, and none if the model has more
 * labels than MAX_COMPARISONS.
 */
const MAX_SUGGESTIONS = 4;
const MAX_COMPARISONS = 25_000;

/** The image's own best classes, best first; all of them if the model has fewer. */
export function bestClasses(count: number, labels: readonly Label[]): ClassSelector[] {
  return Array.from({ length: Math.min(count, labels.length) }, (_, rank) => labels.length + rank);
}

/**
 * Resolve the classes of a request, in order, duplicates kept. Throws CLASS_NOT_FOUND, which names each unknown class
 * and the labels nearest to it, and INVALID_REQUEST for a number that may mean two classes.
 */
export function resolveClasses(names: readonly string[], labels: readonly Label[]): ClassSelector[] {
  for (const name of names) checkNumber(name, labels);
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
          detail: `"${name}" is neither top nor none, nor an index from 0 to ${labels.length - 1}, nor an id or a label of the model${hintOf(name, labels) ?? (position < suggestions ? suggestion(name, labels) : '')}`,
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
 * The class of an index, an id, a label, or a label with its id (`crane (n03126707)`), in any case. If several labels
 * match, the one in the same case wins (`Cardigan` is a dog, `cardigan` is knitted), and then the first. `index:`, `id:` and
 * `label:` before it leave one of these. A number is an index if there is such a class.
 */
export function findClass(name: string, labels: readonly Label[]): number | undefined {
  const text = plain(name);
  const [, kind, rest] = /^(index|id|label):(.*)$/isu.exec(text) ?? [];
  if (kind !== undefined && rest !== undefined) {
    const found = findAs(kind.toLowerCase() as Kind, rest.trim(), labels);
    if (found !== undefined) return found;
  }
  return findAs('index', text, labels) ?? findNamed(text, labels);
}

type Kind = 'index' | 'id' | 'label';

/** Composed (a label may come from a file name, which some systems decompose), and without blanks around it. */
function plain(text: string): string {
  return normalized(text, 'NFC').trim();
}

function findAs(kind: Kind, text: string, labels: readonly Label[]): number | undefined {
  if (kind === 'index') return /^\d+$/.test(text) && Number(text) < labels.length ? Number(text) : undefined;
  const { byId, byLabel } = indexOf(labels);
  const names = kind === 'id' ? byId : byLabel;
  return names.exact.get(text) ?? names.anyCase.get(text.toLowerCase());
}

/** The class of an id, a label, or both. */
function findNamed(text: string, labels: readonly Label[]): number | undefined {
  const { byName, byLabelAndId } = indexOf(labels);
  const wanted = text.toLowerCase();
  return byName.exact.get(text) ?? byName.anyCase.get(wanted) ?? byLabelAndId.get(wanted);
}

/** Throws INVALID_REQUEST for a number that is the index of one class and names another. */
function checkNumber(name: string, labels: readonly Label[]): void {
  const text = plain(name);
  const index = findAs('index', text, labels);
  const named = index === undefined ? undefined : findNamed(text, labels);
  if (index === undefined || named === undefined || named === index) return;
  const kind = findAs('label', text, labels) === undefined ? 'id' : 'label';
  throw new ServiceError('INVALID_REQUEST', `The model has two classes that ${text} may mean.`, {
    errors: [
      {
        parameter: 'class',
        detail: `${text} is the index of "${labels[index]!.label}" and the ${kind} of class ${named}; write index:${text} or ${kind}:${text}`,
      },
    ],
  });
}

/** What may have been meant by an unknown name that can be read as several. */
function hintOf(name: string, labels: readonly Label[]): string | undefined {
  const parts = name.split(',', MAX_CLASSES + 1);
  if (parts.length < 2 || parts.length > MAX_CLASSES) return undefined;
  if (parts.some((part) => resolveClass(part, labels) === undefined)) return undefined;
  return '; several classes are several parameters: class=…&class=…';
}

function suggestion(name: string, labels: readonly Label[]): string {
  const wanted = name.trim();
  if (/^\d+$/.test(wanted) || wanted.length > MAX_COMPARED) return '';
  const { search, names } = searchIn(labels);
  const nearest = search.nearest(wanted, 3).map((index) => `"${names[index]!}"`);
  return `; the nearest labels are ${nearest.join(', ')}`;
}

/** The first of several classes with the same name. */
interface Names {
  readonly exact: ReadonlyMap<string, number>;
  readonly anyCase: ReadonlyMap<string, number>;
}

interface ClassIndex {
  readonly byId: Names;
  readonly byLabel: Names;
  /** By id or label. */
  readonly byName: Names;
  readonly byLabelAndId: ReadonlyMap<string, number>;
}

/** Made once for the labels of a load: a request may name many classes, and unknown ones as often as it likes. */
const indexOf = oncePerLabels((labels): ClassIndex => {
  const empty = () => ({ exact: new Map<string, number>(), anyCase: new Map<string, number>() });
  const [byId, byLabel, byName] = [empty(), empty(), empty()];
  const byLabelAndId = new Map<string, number>();
  const add = (map: Map<string, number>, name: string, index: number): void => {
    if (!map.has(name)) map.set(name, index);
  };
  for (const [index, { id, label }] of labels.entries()) {
    for (const [names, own] of [
      [byId, id],
      [byLabel, label],
    ] as const) {
      for (const { exact, anyCase } of [names, byName]) {
        add(exact, plain(own), index);
        add(anyCase, plain(own).toLowerCase(), index);
      }
    }
    add(byLabelAndId, plain(withId(label, id)).toLowerCase(), index);
  }
  return { byId, byLabel, byName, byLabelAndId };
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
