/**
 * Changes of bytes and of JSON, as fuzzers make them: flips, numbers at the edges, splices of two files, words that a parser
 * looks for, values of another type. Everything follows from the random numbers that are given. Nothing is changed in place.
 *
 * Source: M. Zalewski, "Binary fuzzing strategies: what works, what doesn't" (2014), of afl-fuzz.
 */
import type { Random } from '../chaos/random.js';

export interface Material {
  /** Files that pieces may be taken from; at least one. */
  readonly others: readonly Buffer[];
  /** Words that the parser knows: names of chunks, keys, boundaries. */
  readonly words?: readonly string[];
}

/** Longer results are cut. */
const MAX_BYTES = 2 ** 18;
/** Half of all changes are made here, where headers are. */
const HEADER_BYTES = 256;
const MOST_CHANGES = 8;

const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

type Change = (bytes: Buffer, random: Random, material: Material) => Buffer;

function place(random: Random, { length }: Buffer): number {
  return random.below(random.next() < 0.5 ? Math.min(length, HEADER_BYTES) : length);
}

/** A piece of at most `most` bytes. */
function piece(random: Random, bytes: Buffer, most: number): Buffer {
  const start = place(random, bytes);
  return bytes.subarray(start, start + 1 + random.below(most));
}

function insert(bytes: Buffer, at: number, more: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}

function overwrite(bytes: Buffer, at: number, more: Buffer): Buffer {
  more.copy(bytes, at);
  return bytes;
}

/** Each may write into the copy that it is given. */
const CHANGES: readonly Change[] = [
  (bytes, random) => {
    bytes[place(random, bytes)]! ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, random) => {
    bytes[place(random, bytes)] = random.below(256);
    return bytes;
  },
  (bytes, random) => {
    const at = place(random, bytes);
    bytes[at] = (bytes[at]! + random.pick([-1, 1, 16, -16])) & 255;
    return bytes;
  },
  (bytes, random) => overwrite(bytes, place(random, bytes), edge(random, bytes.length)),
  (bytes, random) => overwrite(bytes, place(random, bytes), edge(random, bytes.length)),
  (bytes, random) => overwrite(bytes, place(random, bytes), random.bytes(1 + random.below(16))),
  (bytes, random) => insert(bytes, place(random, bytes), random.bytes(1 + random.below(16))),
  (bytes, random) => {
    const at = place(random, bytes);
    const length = 1 + random.below(random.next() < 0.5 ? 8 : bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
  },
  (bytes, random) => {
    const repeated = piece(random, bytes, 64);
    const times = 1 + random.below(random.next() < 0.1 ? 500 : 4);
    return insert(bytes, place(random, bytes), Buffer.concat(Array.from({ length: times }, () => repeated)));
  },
  (bytes, random) => bytes.subarray(0, 1 + random.below(bytes.length)),
  (bytes, random, { others }) => insert(bytes, place(random, bytes), piece(random, random.pick(others), 512)),
  (bytes, random, { others }) => overwrite(bytes, place(random, bytes), piece(random, random.pick(others), 512)),
  (bytes, random, { others }) => {
    const tail = random.pick(others);
    return Buffer.concat([bytes.subarray(0, place(random, bytes)), tail.subarray(place(random, tail))]);
  },
];

const WORDY: readonly Change[] = [
  (bytes, random, { words = [] }) => insert(bytes, place(random, bytes), Buffer.from(random.pick(words), 'latin1')),
  (bytes, random, { words = [] }) => overwrite(bytes, place(random, bytes), Buffer.from(random.pick(words), 'latin1')),
];

/** A number that is easily taken wrongly, in one to eight bytes of either order. */
function edge(random: Random, length: number): Buffer {
  const value = random.next() < 0.2 ? Math.max(0, length + random.below(17) - 8) : random.pick(EDGES);
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt(value));
  const width = random.pick([1, 2, 4, 8]);
  const bytes = random.next() < 0.05 ? Buffer.alloc(8, 0xff) : buffer.subarray(8 - width);
  return random.next() < 0.5 ? bytes : bytes.reverse();
}

/** One file changed in one to eight places; never empty. */
export function mutateBytes(random: Random, original: Buffer, material: Material): Buffer {
  const changes = (material.words?.length ?? 0) > 0 ? [...CHANGES, ...WORDY] : CHANGES;
  let bytes = original;
  // One change is as likely as all other numbers together.
  for (let left = random.next() < 0.5 ? 1 : 2 + random.below(MOST_CHANGES - 1); left > 0; left -= 1) {
    if (bytes.length === 0) bytes = random.bytes(1);
    bytes = random.pick(changes)(Buffer.from(bytes), random, material).subarray(0, MAX_BYTES);
  }
  return bytes.length === 0 ? random.bytes(1) : bytes;
}

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

const NUMBERS = [0, -1, 1, 0.5, -0, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 1e308, -1e308, 5e-324];
const TEXTS = [
  '',
  ' ',
  '0',
  '__proto__',
  'constructor',
  '../x',
  '/etc/passwd',
  'a\0b',
  '\ud800',
  '😀',
  'x'.repeat(5000),
];

function odd(random: Random): Json {
  switch (random.below(7)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
    case 2:
      return random.pick(NUMBERS);
    case 3:
      return random.pick(TEXTS);
    case 4:
      return random.pick<Json>([[], {}, [[]], [null], { a: null }]);
    case 5:
      return nested(random.pick([3, 30, 99, 101]));
    default:
      return Array.from({ length: random.below(300) }, () => random.pick<Json>(NUMBERS));
  }
}

function nested(depth: number): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level += 1) value = [value];
  return value;
}

/** A JSON text with one to four of its values changed: of another type, gone, twice, or another one of the same text. */
export function mutateJson(random: Random, text: string): string {
  let value = JSON.parse(text) as Json;
  for (let left = 1 + random.below(random.next() < 0.5 ? 1 : 4); left > 0; left -= 1) {
    value = changeOne(random, value, value);
  }
  const changed = JSON.stringify(value);
  if (random.next() > 0.1) return changed;
  // What JSON.stringify never writes: a key that is given twice.
  const key = /"(\w+)":/.exec(changed.slice(random.below(changed.length)))?.[0];
  return key === undefined ? changed : changed.replace(key, `${key}0,${key}`);
}

/** Goes down to a value by chance, deeper ones more often. */
function changeOne(random: Random, value: Json, whole: Json): Json {
  if (typeof value !== 'object' || value === null) return leafOf(random, value, whole);
  const keys = Object.keys(value);
  if (keys.length === 0 || random.next() < 0.1) return leafOf(random, value, whole);
  const key = random.pick(keys);
  const entries = Object.entries(value as Readonly<Record<string, Json>>);
  const isHere = random.next() < 0.25;
  const changed = entries.flatMap(([name, member]): [string, Json][] => {
    if (name !== key) return [[name, member]];
    if (!isHere) return [[name, changeOne(random, member, whole)]];
    switch (random.below(4)) {
      case 0:
        return [];
      case 1:
        return [[name, odd(random)]];
      case 2:
        return [[random.pick(TEXTS), member]];
      default:
        return Array.from({ length: 2 + random.below(20) }, (_, index) => [
          index === 0 ? name : `${name}${index}`,
          member,
        ]);
    }
  });
  return Array.isArray(value) ? changed.map(([, member]) => member) : Object.fromEntries(changed);
}

function leafOf(random: Random, value: Json, whole: Json): Json {
  const choice = random.below(3);
  if (choice === 0 && typeof value === 'number')
    return random.pick([-value, value + 1, value * 1000, value / 3, ...NUMBERS]);
  return choice === 1 ? somewhere(random, whole) : odd(random);
}

/** Any value of a text. */
function somewhere(random: Random, value: Json): Json {
  if (typeof value !== 'object' || value === null || random.next() < 0.2) return value;
  const members = Object.values(value as Readonly<Record<string, Json>>);
  return members.length === 0 ? value : somewhere(random, random.pick(members));
}

/** Words of JSON texts. */
export const JSON_WORDS = [
  '":',
  '",',
  '{"',
  '[',
  ']',
  '}',
  'null',
  '1e999',
  '\\u0000',
  '\ufeff',
  '-1',
  '0.5',
  '__proto__',
];

/** A JSON text with changed values; what is no JSON is cut off. */
export function changeJson(random: Random, original: Buffer): Buffer {
  try {
    return Buffer.from(mutateJson(random, original.toString().replace(/^\ufeff/, '')));
  } catch {
    return original.subarray(0, 1 + random.below(Math.max(1, original.length)));
  }
}
