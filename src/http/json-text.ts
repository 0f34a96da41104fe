/**
 * JSON text in pieces, by the zod schema of what is written. The text is that of the serializers which fastify generates
 * from the same schemas (fast-json-stringify). Those make one string of the whole answer, in one go; this writes answers of
 * any length, a few kilobytes at a time.
 *
 * Where the schema has an array, the value may be any iterable, so that large arrays are made while they are written; where
 * it has a number array, a Float32Array; where it has a string, an iterable of its parts. Numbers that are not finite are
 * written as null.
 */
import { z } from 'zod';

/** Characters of a piece; a little more, by what is written at once. */
const PIECE = 2 ** 15;
/** Numbers that are written at once. */
const NUMBERS = 1024;

/** The text of a value, in pieces. The last one may be shorter. */
export type JsonWriter = (value: unknown) => Generator<string, void, void>;

type Node =
  | { readonly kind: 'leaf' }
  | { readonly kind: 'text' }
  | { readonly kind: 'array'; readonly item: Node }
  | { readonly kind: 'object'; readonly fields: readonly Field[]; readonly isFlat: boolean };

interface Field {
  readonly name: string;
  /** The name as it is written. */
  readonly label: string;
  readonly node: Node;
}

interface Output {
  text: string;
}

/** A writer of values of a schema. Fields that are undefined, or that the schema does not have, are left out. */
export function jsonWriter(schema: z.ZodType): JsonWriter {
  const node = nodeOf(schema);
  return function* writeJson(value) {
    const output = { text: '' };
    yield* write(node, value, output);
    yield output.text;
  };
}

/** Items as they are shown, each made when it is read. */
export function* lazily<Item, Shown>(items: Iterable<Item>, show: (item: Item) => Shown): Generator<Shown, void, void> {
  for (const item of items) yield show(item);
}

function nodeOf(schema: unknown): Node {
  if (schema instanceof z.ZodOptional) return nodeOf(schema.unwrap());
  if (schema instanceof z.ZodArray) return { kind: 'array', item: nodeOf(schema.element) };
  if (schema instanceof z.ZodString) return { kind: 'text' };
  if (!(schema instanceof z.ZodObject)) return { kind: 'leaf' };
  const shape = Object.entries(schema.shape);
  const isOptional = (field: unknown): boolean => field instanceof z.ZodOptional;
  // fast-json-stringify writes the fields that are always there first.
  const ordered = [
    ...shape.filter(([, field]) => !isOptional(field)),
    ...shape.filter(([, field]) => isOptional(field)),
  ];
  const fields = ordered.map(([name, field]): Field => ({
    name,
    label: `${JSON.stringify(name)}:`,
    node: nodeOf(field),
  }));
  return { kind: 'object', fields, isFlat: fields.every(({ node }) => node.kind === 'leaf') };
}

function* write(node: Node, value: unknown, output: Output): Generator<string, void, void> {
  const small = smallText(node, value);
  if (small !== undefined) output.text += small;
  else if (node.kind === 'object') yield* writeObject(node.fields, value as Record<string, unknown>, output);
  else if (node.kind === 'text') yield* writeText(value as Iterable<string>, output);
  else if (value instanceof Float32Array) yield* writeNumbers(value, output);
  else if (node.kind === 'array') yield* writeArray(node.item, value as Iterable<unknown>, output);
}

/** The text of a value that is small for certain; undefined for others. A generator for each would cost more than these. */
function smallText(node: Node, value: unknown): string | undefined {
  switch (node.kind) {
    case 'leaf':
      return JSON.stringify(value);
    case 'text':
      return typeof value === 'string' ? JSON.stringify(value) : undefined;
    case 'array':
      return node.item.kind === 'leaf' && Array.isArray(value) && value.length <= NUMBERS
        ? JSON.stringify(value)
        : undefined;
    case 'object':
      return node.isFlat ? flatText(node.fields, value as Record<string, unknown>) : undefined;
  }
}

function flatText(fields: readonly Field[], value: Record<string, unknown>): string {
  let text = '';
  for (const { name, label } of fields) {
    const field = value[name];
    if (field !== undefined) text += (text === '' ? '' : ',') + label + JSON.stringify(field);
  }
  return `{${text}}`;
}

function* writeObject(
  fields: readonly Field[],
  value: Record<string, unknown>,
  output: Output,
): Generator<string, void, void> {
  output.text += '{';
  let before = '';
  for (const { name, label, node } of fields) {
    const field = value[name];
    if (field === undefined) continue;
    output.text += before + label;
    before = ',';
    const small = smallText(node, field);
    if (small === undefined) yield* write(node, field, output);
    else output.text += small;
  }
  output.text += '}';
}

function* writeArray(item: Node, values: Iterable<unknown>, output: Output): Generator<string, void, void> {
  output.text += '[';
  let before = '';
  for (const value of values) {
    output.text += before;
    before = ',';
    const small = smallText(item, value);
    if (small === undefined) yield* write(item, value, output);
    else output.text += small;
    if (isFull(output)) yield take(output);
  }
  output.text += ']';
}

function* writeNumbers(values: Float32Array, output: Output): Generator<string, void, void> {
  output.text += '[';
  for (let from = 0; from < values.length; from += NUMBERS) {
    const some = JSON.stringify(Array.from(values.subarray(from, from + NUMBERS))).slice(1, -1);
    output.text += from === 0 ? some : `,${some}`;
    if (isFull(output)) yield take(output);
  }
  output.text += ']';
}

function* writeText(parts: Iterable<string>, output: Output): Generator<string, void, void> {
  output.text += '"';
  for (const part of parts) {
    output.text += JSON.stringify(part).slice(1, -1);
    if (isFull(output)) yield take(output);
  }
  output.text += '"';
}

function isFull({ text }: Output): boolean {
  return text.length >= PIECE;
}

function take(output: Output): string {
  const { text } = output;
  output.text = '';
  return text;
}
