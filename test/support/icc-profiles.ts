/** ICC profiles of three colorants and three curves, put together byte by byte. Source: ICC.1:2022 §7 and §10. */
import { number } from './made-images.js';

/** Encoded value, 0 to 1, to linear. */
export type Curve = (value: number) => number;

export interface MatrixProfile {
  /** XYZ of red, green and blue, adapted to D50. */
  readonly colorants: readonly (readonly [x: number, y: number, z: number])[];
  /** A curve as a tag: `sampled`, `gamma` or `parametric`. */
  readonly curve: Buffer;
  readonly name?: string;
  /** More tags. */
  readonly extra?: Readonly<Record<string, Buffer>>;
}

/** Those of sRGB and of Display P3, adapted by Bradford, as in the profiles that libvips has. */
export const SRGB_COLORANTS = [
  [0.43607, 0.22249, 0.01392],
  [0.38515, 0.71687, 0.09708],
  [0.14307, 0.06061, 0.7141],
] as const;
export const P3_COLORANTS = [
  [0.51512, 0.2412, -0.00105],
  [0.29198, 0.69225, 0.04189],
  [0.1571, 0.06657, 0.78407],
] as const;

/** IEC 61966-2-1. */
export const srgbCurve: Curve = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const fixed = (value: number): Buffer => number(Math.round(value * 65536) >>> 0, 4);

export function sampled(curve: Curve, samples: number): Buffer {
  const values = Array.from({ length: samples }, (_, i) => number(Math.round(65535 * curve(i / (samples - 1))), 2));
  return Buffer.concat([latin1('curv'), number(0, 4), number(samples, 4), ...values]);
}

export function gamma(value: number): Buffer {
  return Buffer.concat([latin1('curv'), number(0, 4), number(1, 4), number(Math.round(value * 256), 2)]);
}

export function parametric(type: number, values: readonly number[]): Buffer {
  return Buffer.concat([latin1('para'), number(0, 4), number(type, 2), number(0, 2), ...values.map(fixed)]);
}

export const SRGB_PARAMETERS = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045] as const;

export function matrixProfile({ colorants, curve, name = 'made', extra = {} }: MatrixProfile): Buffer {
  const xyz = (values: readonly number[]): Buffer =>
    Buffer.concat([latin1('XYZ '), number(0, 4), ...values.map(fixed)]);
  const text = Buffer.concat([
    latin1('desc'),
    number(0, 4),
    number(name.length + 1, 4),
    latin1(`${name}\0`),
    Buffer.alloc(78),
  ]);
  const tags: Record<string, Buffer> = {
    desc: text,
    cprt: Buffer.concat([latin1('text'), number(0, 4), latin1('none\0')]),
    wtpt: xyz([0.9642, 1, 0.8249]),
    rXYZ: xyz(colorants[0]!),
    gXYZ: xyz(colorants[1]!),
    bXYZ: xyz(colorants[2]!),
    ...{ rTRC: curve, gTRC: curve, bTRC: curve },
    ...extra,
  };
  return profileOf('RGB ', tags);
}

/** A display profile with these tags. */
export function profileOf(space: string, tags: Readonly<Record<string, Buffer>>): Buffer {
  const names = Object.keys(tags);
  let at = 128 + 4 + 12 * names.length;
  const table: Buffer[] = [];
  const data: Buffer[] = [];
  for (const name of names) {
    const tag = tags[name]!;
    const padded = Buffer.concat([tag, Buffer.alloc((4 - (tag.length % 4)) % 4)]);
    table.push(latin1(name), number(at, 4), number(tag.length, 4));
    data.push(padded);
    at += padded.length;
  }
  const header = Buffer.alloc(128);
  header.writeUInt32BE(at, 0);
  header.writeUInt32BE(0x02400000, 8);
  header.write(`mntr${space}XYZ `, 12, 'latin1');
  header.write('acsp', 36, 'latin1');
  [0.9642, 1, 0.8249].forEach((value, i) => header.writeUInt32BE(Math.round(value * 65536), 68 + 4 * i));
  return Buffer.concat([header, number(names.length, 4), ...table, ...data]);
}
