/**
 * The orientation in an EXIF block, read as libexif and libvips read it: the first tag 274 of the first directory that
 * is whole, a number of any integer type; 1 wherever anything is odd. A broken block is no broken image, so nothing
 * here throws.
 *
 * Source: Exif 2.32 §4.6 (a TIFF structure), libexif exif-data.c.
 */
import { Fields, type ByteOrder } from './fields.js';

const ORIENTATION = 274;
/** A JPEG's segment cannot be longer, and libexif looks at no more in any format. */
const MAX_BYTES = 0xfffe;
/** TIFF types 1 to 12, BYTE to DOUBLE: bytes of each. */
const TYPE_BYTES: readonly (number | undefined)[] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
/** BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG. */
const INTEGERS = new Set([1, 3, 4, 6, 8, 9]);
const PREFIX = 'Exif\0\0';

/** 1 to 8. `block` may or may not begin with "Exif\0\0", as formats differ. */
export function exifOrientation(block: Uint8Array): number {
  const capped = block.subarray(0, MAX_BYTES);
  const whole = new Fields(capped, 'big');
  const tiff = capped.subarray(whole.has(0, PREFIX) ? PREFIX.length : 0);
  const order: ByteOrder | undefined = whole.has(whole.length - tiff.length, 'II')
    ? 'little'
    : whole.has(whole.length - tiff.length, 'MM')
      ? 'big'
      : undefined;
  if (order === undefined || tiff.length < 8) return 1;
  const fields = new Fields(tiff, order);
  if (fields.u16(2) !== 42) return 1;
  const directory = fields.u32(4);
  if (directory + 2 > fields.length) return 1;
  const count = Math.min(fields.u16(directory), Math.floor((fields.length - directory - 2) / 12));
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + 12 * i;
    if (fields.u16(entry) !== ORIENTATION) continue;
    const value = valueOf(fields, entry);
    if (value !== undefined) return value;
  }
  return 1;
}

/** undefined for an entry that libexif does not load. */
function valueOf(fields: Fields, entry: number): number | undefined {
  const type = fields.u16(entry + 2);
  const [size, components] = [TYPE_BYTES[type] ?? 0, fields.u32(entry + 4)];
  const at = size * components > 4 ? fields.u32(entry + 8) : entry + 8;
  if (size * components === 0 || at + size * components > fields.length) return undefined;
  if (!INTEGERS.has(type) || components > 9) return 1;
  // libexif makes SHORT of every integer, and cuts what is longer.
  const value = size === 1 ? fields.u8(at) : size === 2 ? fields.u16(at) : fields.u32(at) & 0xffff;
  return value >= 1 && value <= 8 ? value : 1;
}
