/**
 * A directory of a TIFF or BigTIFF: integers by tag, each read when it is asked for. Entries of other types are counted,
 * and their bytes can be had.
 *
 * Sources: TIFF 6.0 §2, BigTIFF; libtiff tif_dirread.c.
 */
import { BrokenHeaderError, Fields, UnsupportedImageError } from './fields.js';

/** Types that hold an unsigned integer: bytes of each. */
const INTEGER_BYTES: Readonly<Record<number, 1 | 2 | 4 | 8>> = { 1: 1, 3: 2, 4: 4, 16: 8 };
const UNDEFINED = 7;

/**
 * Entries of a directory: libtiff sorts all the tags it knows for each that it does not know, so that 49 kB of them take
 * 2 s. Real files have some dozen.
 */
export const MAX_ENTRIES = 512;

/** Where things are: classic TIFF has offsets of 4 bytes, BigTIFF of 8. */
export interface Layout {
  /** Where the first directory's offset is. */
  readonly first: number;
  readonly countBytes: number;
  readonly entryBytes: number;
  readonly offsetBytes: number;
  readonly count: (fields: Fields, at: number) => number;
  readonly offset: (fields: Fields, at: number) => number;
}

const CLASSIC: Layout = {
  ...{ first: 4, countBytes: 2, entryBytes: 12, offsetBytes: 4 },
  count: (fields, at) => fields.u16(at),
  offset: (fields, at) => fields.u32(at),
};
const BIG: Layout = {
  ...{ first: 8, countBytes: 8, entryBytes: 20, offsetBytes: 8 },
  count: (fields, at) => fields.u64(at),
  offset: (fields, at) => fields.u64(at),
};

export function layoutOf(fields: Fields): Layout {
  return fields.u16(2) === 43 ? BIG : CLASSIC;
}

/** The integers of an entry. */
export interface Integers {
  readonly count: number;
  /** `index` is below the count. */
  readonly at: (index: number) => number;
}

export interface Directory {
  readonly fields: Fields;
  /** An entry's value at an index; undefined where there is none. */
  readonly value: (tag: number, index?: number) => number | undefined;
  /** The value of an entry that has only one; undefined where there is none, or more, as in libtiff. */
  readonly single: (tag: number) => number | undefined;
  readonly count: (tag: number) => number;
  /**
   * All values of an entry; undefined where there is none, or none of integers. As the two above, it throws
   * BrokenHeaderError where the file ends before the last of them.
   */
  readonly integers: (tag: number) => Integers | undefined;
  /** The bytes of an entry of type BYTE or UNDEFINED; undefined where there is none, or where the file ends before. */
  readonly bytes: (tag: number) => Uint8Array | undefined;
}

interface Entry {
  readonly type: number;
  readonly bytes: 1 | 2 | 4 | 8 | undefined;
  readonly count: number;
  /** Of the value. */
  readonly at: number;
}

/** Throws BrokenHeaderError, and UnsupportedImageError for a directory of too many entries. */
export function readDirectory(fields: Fields, start: number, layout: Layout): Directory {
  const size = layout.count(fields, start);
  if (size === 0) throw new BrokenHeaderError('has an empty directory');
  if (size > MAX_ENTRIES) throw tooManyEntries();
  const entries = new Map<number, Entry>();
  for (let i = 0; i < size; i++) {
    const at = start + layout.countBytes + i * layout.entryBytes;
    const tag = fields.u16(at);
    // Of entries with the same tag the first counts, as in libtiff.
    if (entries.has(tag)) continue;
    const type = fields.u16(at + 2);
    const bytes = INTEGER_BYTES[type];
    const values = layout.offset(fields, at + 4);
    const inline = at + 4 + layout.offsetBytes;
    const size = bytes ?? (type === UNDEFINED ? 1 : Infinity);
    const isInline = size * values <= layout.offsetBytes;
    entries.set(tag, { type, bytes, count: values, at: isInline ? inline : layout.offset(fields, inline) });
  }
  const integers = (tag: number): Integers | undefined => {
    const entry = entries.get(tag);
    if (entry?.bytes === undefined) return undefined;
    return { count: entry.count, at: fields.integers(entry.at, entry.count, entry.bytes) };
  };
  const value = (tag: number, index = 0): number | undefined => {
    const found = integers(tag);
    return found === undefined || index >= found.count ? undefined : found.at(index);
  };
  const count = (tag: number): number => entries.get(tag)?.count ?? 0;
  const bytes = (tag: number): Uint8Array | undefined => {
    const entry = entries.get(tag);
    if (entry === undefined || (entry.type !== UNDEFINED && entry.bytes !== 1)) return undefined;
    const { at, count } = entry;
    return at + count <= fields.length ? fields.bytes.subarray(at, at + count) : undefined;
  };
  return { fields, value, count, integers, bytes, single: (tag) => (count(tag) === 1 ? value(tag) : undefined) };
}

export function tooManyEntries(): UnsupportedImageError {
  return new UnsupportedImageError(`TIFF files of more than ${MAX_ENTRIES} entries in a directory are not decoded.`);
}
