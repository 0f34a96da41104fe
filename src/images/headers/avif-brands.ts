/**
 * The brands of an AVIF that make libraries look for more than a still image. libvips does not know the brand of a
 * sequence at all, and libheif reads the tables of its frames, which are never decoded.
 *
 * Source: ISO/IEC 14496-12 §4.3; AVIF 1.1 §6; libvips heifload.c, libheif file.cc.
 */

const STILL = 'avif';
/** As the major brand: what libvips does not know. */
const UNKNOWN = ['avis', 'miaf'];
/** What libheif takes for a sequence. */
const SEQUENCES = ['avis', 'msf1', 'isom', 'mp41', 'mp42'];
const [MAJOR, COMPATIBLE] = [8, 16];
/** Of the first box. libvips takes no longer one. */
const MAX_BYTES = 2048;

/** Where the names of such brands are; empty for a still image. */
function sequenceBrands(bytes: Uint8Array): number[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (file.length < COMPATIBLE) return [];
  const end = Math.min(file.readUInt32BE(0), MAX_BYTES, file.length);
  const found = UNKNOWN.includes(file.toString('latin1', MAJOR, MAJOR + 4)) ? [MAJOR] : [];
  for (let at = COMPATIBLE; at + 4 <= end; at += 4) {
    if (SEQUENCES.includes(file.toString('latin1', at, at + 4))) found.push(at);
  }
  return found;
}

export function isSequence(bytes: Uint8Array): boolean {
  return sequenceBrands(bytes).length > 0;
}

/** The bytes, or a copy whose brands are those of a still image. */
export function asStill(bytes: Uint8Array): Uint8Array {
  const brands = sequenceBrands(bytes);
  if (brands.length === 0) return bytes;
  const still = Buffer.from(bytes);
  for (const at of brands) still.write(STILL, at, 'latin1');
  return still;
}
