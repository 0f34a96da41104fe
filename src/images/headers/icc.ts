/**
 * ICC profiles of three colorants and three curves, as cameras and displays have them: what they make of colours, and
 * whether one is sRGB, so that its transform may be left out. Its name says nothing: what counts is what it does to
 * colours. It is calculated through at 472 colours, as a colour engine would, and is sRGB where none of them moves by
 * more than a level of 8 bits. Profiles with tables in place of the colorants are not read: engines prefer the tables.
 * Nothing here throws: a profile that is broken is none that is known.
 *
 * Sources: ICC.1:2022 §7.2 (header), §8.3 (matrix and curves), §10.6, §10.18, §10.31 (types); IEC 61966-2-1 (sRGB).
 */
import { BrokenHeaderError, Fields } from './fields.js';
import type { Colours } from './stored-image.js';

/** Of a profile that is looked at. Those of sRGB have 0.4 to 25 kB. */
export const MAX_SRGB_BYTES = 65_536;
const MAX_TAGS = 64;
const HEADER_BYTES = 128;
/** Display, scanner, colour space. */
const CLASSES = new Set(['mntr', 'scnr', 'spac']);
/** Prefixes of tags that engines prefer to colorants. */
const TABLES = ['A2B', 'D2B'];
/** In levels of 8 bits: rounded colours differ by one at most. */
const TOLERANCE = 1;
/** Colours that sRGB does not have are this far beyond 0 and 1 at most. ProPhoto RGB goes to −1.03 and 2.03. */
export const BEYOND = 2;
/** Levels of each channel whose combinations are tried. */
const STEPS = [0, 51, 102, 153, 204, 255];

/** XYZ to linear sRGB: the inverse of the colorants, adapted to D50, of the sRGB profile that libvips has. */
const FROM_XYZ = [
  [3.133919, -1.616939, -0.490713],
  [-0.978451, 1.915882, 0.033388],
  [0.072023, -0.229027, 1.405716],
] as const;

/** A channel's value, 0 to 1, made linear. */
type Curve = (value: number) => number;

/** The linear values that are within the tolerance of each level. What sRGB does not have is cut to its ends. */
const LOWEST = Float64Array.from({ length: 256 }, (_, level) =>
  level <= TOLERANCE ? -Infinity : linearOf(level - TOLERANCE),
);
const HIGHEST = Float64Array.from({ length: 256 }, (_, level) =>
  level >= 255 - TOLERANCE ? Infinity : linearOf(level + TOLERANCE),
);

/** Of a level of sRGB. */
function linearOf(level: number): number {
  const value = level / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

type Triple = readonly [number, number, number];

/** What a profile makes of the levels of an 8-bit pixel. */
export interface MatrixProfile {
  /** Of each channel: its 256 levels made linear, 0 to 1. */
  readonly linear: readonly [Float64Array, Float64Array, Float64Array];
  /** A row for each channel of linear sRGB, up to BEYOND beyond 0 and 1 for colours that it does not have. */
  readonly toSrgb: readonly [Triple, Triple, Triple];
}

interface Known {
  /** A copy. */
  readonly profile: Uint8Array;
  readonly matrix: MatrixProfile | undefined;
  readonly isSrgb: boolean;
}

/** So many profiles are remembered: those of a few cameras. */
const KEPT = 8;

/** The profiles that were looked at last, the latest first. */
const kept: Known[] = [];

/** What a colour file with this profile is to be decoded as. */
export function coloursBy(profile: Uint8Array): Extract<Colours, 'srgb' | 'matrix' | 'profile'> {
  if (isSrgb(profile)) return 'srgb';
  return readMatrixProfile(profile) === undefined ? 'profile' : 'matrix';
}

/** Whether the transform from this profile to sRGB changes no colour by more than a level of 8 bits. */
export function isSrgb(profile: Uint8Array): boolean {
  return lookAt(profile)?.isSrgb ?? false;
}

/**
 * Undefined for a profile with tables, of other colours than RGB, with more light than there is, or that is broken. The same
 * object for the same profile.
 */
export function readMatrixProfile(profile: Uint8Array): MatrixProfile | undefined {
  return lookAt(profile)?.matrix;
}

function lookAt(profile: Uint8Array): Known | undefined {
  if (profile.length < HEADER_BYTES + 4 || profile.length > MAX_SRGB_BYTES) return undefined;
  const at = kept.findIndex((known) => Buffer.compare(known.profile, profile) === 0);
  kept.unshift(...(at < 0 ? [calculate(profile)] : kept.splice(at, 1)));
  kept.length = Math.min(kept.length, KEPT);
  return kept[0];
}

function calculate(profile: Uint8Array): Known {
  const matrix = readMatrix(profile);
  return { profile: Uint8Array.from(profile), matrix, isSrgb: matrix !== undefined && keepsColours(matrix) };
}

function readMatrix(profile: Uint8Array): MatrixProfile | undefined {
  try {
    const fields = new Fields(profile, 'big');
    const isMatrix = CLASSES.has(fields.name(12)) && fields.name(16) === 'RGB ' && fields.name(20) === 'XYZ ';
    return isMatrix && fields.u32(0) <= profile.length ? matrixOf(readTags(fields)) : undefined;
  } catch (error) {
    if (error instanceof BrokenHeaderError) return undefined;
    throw error;
  }
}

/** Of tags with the same name the first counts. */
function readTags(fields: Fields): ReadonlyMap<string, Fields> {
  const tags = new Map<string, Fields>();
  const count = fields.u32(HEADER_BYTES);
  if (count > MAX_TAGS) throw new BrokenHeaderError(`has ${count} tags`);
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + 4 + 12 * i;
    const [name, start, length] = [fields.name(at), fields.u32(at + 4), fields.u32(at + 8)];
    if (!tags.has(name)) tags.set(name, fields.part(start, start + length));
  }
  return tags;
}

function matrixOf(tags: ReadonlyMap<string, Fields>): MatrixProfile | undefined {
  if ([...tags.keys()].some((name) => TABLES.some((prefix) => name.startsWith(prefix)))) return undefined;
  const tag = (name: string): Fields => {
    const found = tags.get(name);
    if (found === undefined) throw new BrokenHeaderError(`has no ${name}`);
    return found;
  };
  const [red, green, blue] = ['rXYZ', 'gXYZ', 'bXYZ'].map((name) => readXyz(tag(name))) as [Triple, Triple, Triple];
  // One curve often stands for all three.
  const curves = new Map<number, Float64Array>();
  const linear = ['rTRC', 'gTRC', 'bTRC'].map((name) => {
    const { bytes } = tag(name);
    const known = curves.get(bytes.byteOffset);
    if (known !== undefined) return known;
    const curve = readCurve(tag(name));
    const levels = Float64Array.from({ length: 256 }, (_, level) => curve(level / 255));
    curves.set(bytes.byteOffset, levels);
    return levels;
  });
  const times = (row: Triple, [x, y, z]: Triple): number => row[0] * x + row[1] * y + row[2] * z;
  const rowOf = (row: Triple): Triple => [times(row, red), times(row, green), times(row, blue)];
  const toSrgb: MatrixProfile['toSrgb'] = [rowOf(FROM_XYZ[0]), rowOf(FROM_XYZ[1]), rowOf(FROM_XYZ[2])];
  const isBounded =
    linear.every((levels) => levels.every((value) => value >= 0 && value <= 1)) &&
    toSrgb.every((row) => sumOf(row, Math.min) > -BEYOND && sumOf(row, Math.max) < 1 + BEYOND);
  return isBounded ? { linear: linear as [Float64Array, Float64Array, Float64Array], toSrgb } : undefined;
}

/** The least or the most that a row makes. */
function sumOf(row: Triple, end: (part: number, none: 0) => number): number {
  return row.reduce((sum, part) => sum + end(part, 0), 0);
}

function keepsColours({ linear, toSrgb }: MatrixProfile): boolean {
  const isKept = (levels: readonly [number, number, number]): boolean =>
    toSrgb.every((row, channel) => {
      const [r, g, b] = levels;
      const sum = row[0] * linear[0][r]! + row[1] * linear[1][g]! + row[2] * linear[2][b]!;
      const level = levels[channel]!;
      // NaN is within no tolerance.
      return sum >= LOWEST[level]! && sum <= HIGHEST[level]!;
    });
  for (let level = 0; level < 256; level++) if (!isKept([level, level, level])) return false;
  return STEPS.every((r) => STEPS.every((g) => STEPS.every((b) => isKept([r, g, b]))));
}

function readXyz(tag: Fields): Triple {
  if (tag.name(0) !== 'XYZ ') throw new BrokenHeaderError('has a colorant that is no XYZ');
  return [fixed(tag, 8), fixed(tag, 12), fixed(tag, 16)];
}

/** s15Fixed16Number. */
function fixed(fields: Fields, at: number): number {
  return (fields.u32(at) | 0) / 65536;
}

function readCurve(tag: Fields): Curve {
  const type = tag.name(0);
  if (type === 'curv') return sampledCurve(tag);
  if (type === 'para') return parametricCurve(tag);
  throw new BrokenHeaderError('has a curve of an unknown type');
}

function sampledCurve(tag: Fields): Curve {
  const count = tag.u32(8);
  if (count === 0) return (value) => value;
  if (count === 1) {
    const gamma = tag.u16(12) / 256;
    return (value) => value ** gamma;
  }
  // The last sample has to be there too.
  tag.u16(12 + 2 * (count - 1));
  return (value) => {
    const at = value * (count - 1);
    const index = Math.min(Math.floor(at), count - 2);
    const [low, high] = [tag.u16(12 + 2 * index), tag.u16(14 + 2 * index)];
    return (low + (high - low) * (at - index)) / 65535;
  };
}

/** ICC.1 §10.18, table 68. */
function parametricCurve(tag: Fields): Curve {
  const type = tag.u16(8);
  const [g = 1, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = Array.from(
    { length: [1, 3, 4, 5, 7][type] ?? 0 },
    (_, index) => fixed(tag, 12 + 4 * index),
  );
  switch (type) {
    case 0:
      return (x) => x ** g;
    case 1:
      return (x) => (x >= -b / a ? (a * x + b) ** g : 0);
    case 2:
      return (x) => (x >= -b / a ? (a * x + b) ** g + c : c);
    case 3:
      return (x) => (x >= d ? (a * x + b) ** g : c * x);
    case 4:
      return (x) => (x >= d ? (a * x + b) ** g + e : c * x + f);
    default:
      throw new BrokenHeaderError('has a curve of an unknown kind');
  }
}
