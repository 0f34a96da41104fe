/**
 * Names of classes, in the forms in which people keep them: JSON lists and dictionaries, a name a line, Python's
 * dictionaries, WordNet's ids before the names. Pure; label-files.ts finds the files.
 */
import type { Label } from '../manifest.js';
import { readPythonLiteral, type PythonValue } from './python-literal.js';

/** More classes than any classifier has whose answers are listed by name. */
const MAX_LABELS = 100_000;

/** Characters of a name; what is longer is no name. */
const MAX_NAME = 500;

const WORDNET = /^n\d{8}$/;

/** The label of a class whose name is not known. */
export function numberedLabel(index: number): Label {
  return { id: `class-${index}`, label: `class ${index}` };
}

/** As `names`, with ids made of the classes' numbers, or with WordNet's where a name begins with one. */
export function labelsOfNames(names: readonly string[]): Label[] {
  return names.map((name, index) => {
    const [, id, label] = /^(n\d{8})[\s,:]+(.+)$/.exec(name) ?? [];
    return id !== undefined && label !== undefined ? { id, label } : { id: `class-${index}`, label: name };
  });
}

/** The labels in a text of any of the forms; undefined if it has none. */
export function readLabels(text: string): Label[] | undefined {
  const plain = text.replace(/^\ufeff/, '').trim();
  const isStructured = /^[[{]/.test(plain);
  const labels = isStructured ? labelsOfValue(readJson(plain) ?? readPythonLiteral(plain)) : labelsOfLines(plain);
  if (labels === undefined || labels.length === 0 || labels.length > MAX_LABELS) return undefined;
  return labels.every(({ id, label }) => isName(id) && isName(label)) ? labels : undefined;
}

function isName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_NAME;
}

function readJson(text: string): PythonValue | undefined {
  try {
    return asValue(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asValue(json: unknown): PythonValue {
  if (Array.isArray(json)) return json.map(asValue);
  if (typeof json === 'object' && json !== null) {
    return new Map(Object.entries(json).map(([key, value]) => [key, asValue(value)]));
  }
  return json as string | number | boolean | null;
}

/** The labels of a list, or of a dictionary either of names by number or of numbers by name. */
export function labelsOfValue(value: PythonValue | undefined): Label[] | undefined {
  if (Array.isArray(value)) return labelsOfList(value as readonly PythonValue[]);
  if (!(value instanceof Map)) return undefined;
  const entries = [...(value as ReadonlyMap<string, PythonValue>)];
  for (const [key, inner] of entries) {
    // A file that keeps the names beside other things.
    if (['labels', 'names', 'classes', 'class_names', 'id2label'].includes(key) && typeof inner === 'object' && inner)
      return labelsOfValue(inner);
  }
  // The names may be numbers, too, in the order of names: { "0": 0, "1": 1, "10": 2, "2": 3 }.
  const isOfNumbers = entries.every(([, inner]) => typeof inner === 'number');
  const byNumber = !isOfNumbers && entries.every(([key]) => /^\d{1,6}$/.test(key));
  const pairs = byNumber
    ? entries.map(([key, inner]) => [Number(key), inner] as const)
    : entries.map(([key, inner]) => [typeof inner === 'number' ? inner : Number.NaN, key] as const);
  const sorted = pairs.sort(([a], [b]) => a - b);
  return sorted.every(([number], index) => number === index)
    ? labelsOfList(sorted.map(([, inner]) => inner))
    : undefined;
}

function labelsOfList(items: readonly PythonValue[]): Label[] | undefined {
  if (items.every((item) => typeof item === 'string')) return labelsOfNames(items.map((item) => item.trim()));
  const labels = items.map(labelOf);
  return labels.every((label) => label !== undefined) ? labels : undefined;
}

/** `{ id, label }`, or `[id, label]` as Keras keeps ImageNet's. */
function labelOf(item: PythonValue): Label | undefined {
  const [id, label] = Array.isArray(item)
    ? (item as readonly PythonValue[])
    : item instanceof Map
      ? [(item as ReadonlyMap<string, PythonValue>).get('id'), (item as ReadonlyMap<string, PythonValue>).get('label')]
      : [];
  return typeof id === 'string' && typeof label === 'string' ? { id, label } : undefined;
}

/** A name a line. Numbers before the names are left out where they count the lines, as Teachable Machine's do. */
function labelsOfLines(text: string): Label[] | undefined {
  const lines = text.split(/\r\n|\n|\r/).map((line) => line.trim());
  if (lines.length > MAX_LABELS || lines.includes('')) return undefined;
  const numbered = lines.map((line) => /^(\d{1,6})(?:\s*[,:]\s*|\s+)(.+)$/.exec(line));
  const [first] = numbered;
  const from = Number(first?.[1] ?? 0);
  const counts = from <= 1 && numbered.every((match, index) => match !== null && Number(match[1]) === from + index);
  const names = counts ? numbered.map((match) => match![2]!) : lines;
  const ids = names.filter((name) => WORDNET.test(name));
  if (ids.length === names.length) return names.map((id) => ({ id, label: id }));
  return labelsOfNames(names.map(unquoted));
}

function unquoted(name: string): string {
  const match = /^(?:"([^"]*)"|'([^']*)'),?$/.exec(name);
  return match?.[1] ?? match?.[2] ?? name;
}
