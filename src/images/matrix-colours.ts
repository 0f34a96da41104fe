/**
 * Pixels of a matrix profile (headers/icc.ts) to sRGB, after they have been resized. libvips would transform them before,
 * many more of them, and make its tables anew for each photo: 4 ms of one of 500×375 pixels, beside 3 ms for all the rest.
 * Here the tables of the last profiles are kept. The result is that of libvips' colour engine, within a level of 8 bits; a
 * test compares them.
 */
import { BEYOND, readMatrixProfile, type MatrixProfile } from './headers/icc.js';

/** Steps from no light to all of it. Where the curve of sRGB is steepest, near black, a level is five of them. */
const STEPS = 16_384;

/** The 8-bit level of each step from −BEYOND to 1 + BEYOND. */
const LEVELS = Uint8Array.from({ length: (1 + 2 * BEYOND) * STEPS + 1 }, (_, at) =>
  levelOf(Math.min(Math.max(at / STEPS - BEYOND, 0), 1)),
);

/** IEC 61966-2-1 §5.2. */
function levelOf(linear: number): number {
  return Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
}

/** Changes pixels `[n, 3]` of 8 bits in place. */
export type Conversion = (pixels: Uint8Array) => void;

/** As long as headers/icc.ts keeps the profile. */
const conversions = new WeakMap<MatrixProfile, Conversion>();

/** The conversion to sRGB that a profile asks for; undefined for a profile that headers/icc.ts does not read. */
export function conversionFrom(profile: Uint8Array): Conversion | undefined {
  const matrix = readMatrixProfile(profile);
  if (matrix === undefined) return undefined;
  const conversion = conversions.get(matrix) ?? conversionBy(matrix);
  conversions.set(matrix, conversion);
  return conversion;
}

function conversionBy({ linear, toSrgb }: MatrixProfile): Conversion {
  // What each level of red, green and blue adds to red, then to green and to blue: an index of LEVELS is a sum of three.
  const parts = Int32Array.from({ length: 9 * 256 }, (_, at) => {
    const [to, from, level] = [Math.floor(at / 768), Math.floor(at / 256) % 3, at % 256];
    return Math.round(STEPS * ((from === 0 ? BEYOND : 0) + toSrgb[to]![from]! * linear[from]![level]!));
  });
  return (pixels) => convert(pixels, parts);
}

function convert(pixels: Uint8Array, parts: Int32Array): void {
  for (let at = 0; at + 2 < pixels.length; at += 3) {
    const r = pixels[at]!;
    const g = pixels[at + 1]! + 256;
    const b = pixels[at + 2]! + 512;
    pixels[at] = LEVELS[parts[r]! + parts[g]! + parts[b]!]!;
    pixels[at + 1] = LEVELS[parts[r + 768]! + parts[g + 768]! + parts[b + 768]!]!;
    pixels[at + 2] = LEVELS[parts[r + 1536]! + parts[g + 1536]! + parts[b + 1536]!]!;
  }
}
