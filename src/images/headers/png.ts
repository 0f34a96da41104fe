/**
 * PNG: size, depth and interlacing, the orientation of an eXIf chunk, and what its compressed texts may grow to. Chunks
 * are walked up to the picture's first data, as far as the decoder goes before it knows the size. Of an APNG only the
 * default picture is decoded.
 *
 * Sources: PNG 3rd ed. §5 and §11; libpng 1.6 pngrutil.c; libvips vipspng.c.
 */
import { inflateSync } from 'node:zlib';
import { exifOrientation } from './exif.js';
import { BrokenHeaderError, Fields } from './fields.js';
import { coloursBy, MAX_SRGB_BYTES } from './icc.js';
import { simpleImage, type Colours, type StoredImage } from './stored-image.js';

/** Colour type: samples of a pixel, and the depths it may have. */
const COLOUR_TYPES: Readonly<Record<number, readonly [samples: number, depths: readonly number[]]>> = {
  0: [1, [1, 2, 4, 8, 16]],
  2: [3, [8, 16]],
  3: [3, [1, 2, 4, 8]],
  4: [2, [8, 16]],
  6: [4, [8, 16]],
};
const PALETTE = 3;
/** A bit of the colour type. */
const COLOURED = 2;

/** Chunks before the picture's data. Real files have a few, or a few hundred texts. */
const MAX_CHUNKS = 4_000;
/** libvips lets libpng keep this many texts and unknown chunks, and inflate each to so many bytes. */
const MAX_KEPT_CHUNKS = 100;
const MAX_INFLATED_BYTES = 50 * 1024 * 1024;
/** Of a profile, without the zero behind it. */
const MAX_NAME = 79;
/** Deflate's largest ratio. */
const MAX_INFLATION = 1032;
const COMPRESSED = new Set(['zTXt', 'iTXt', 'iCCP']);

/** Throws BrokenHeaderError. */
export function readPng(bytes: Uint8Array): StoredImage {
  const fields = new Fields(bytes, 'big');
  if (!fields.has(12, 'IHDR')) throw new BrokenHeaderError('does not begin with IHDR');
  if (fields.u32(8) !== 13) throw new BrokenHeaderError('has an IHDR of the wrong length');
  const [width, height] = [fields.u32(16), fields.u32(20)];
  const [depth, colour, compression, filter, interlace] = [24, 25, 26, 27, 28].map((at) => fields.u8(at));
  const [samples, depths] = COLOUR_TYPES[colour!] ?? [0, []];
  if (!depths.includes(depth!)) throw new BrokenHeaderError(`says colour type ${colour} of ${depth} bits`);
  if (width === 0 || height === 0 || width > 0x7fffffff || height > 0x7fffffff) {
    throw new BrokenHeaderError(`says ${width}×${height} pixels`);
  }
  if (compression !== 0 || filter !== 0 || interlace! > 1) throw new BrokenHeaderError('says an unknown method');
  const { isTransparent, ...rest } = readChunks(fields, colour!);
  const deep = depth === 16;
  return simpleImage({
    format: 'png',
    stored: { width, height },
    deep,
    bytesPerSample: deep ? 2 : 1,
    channels: samples + (isTransparent ? 1 : 0),
    progressive: interlace === 1,
    ...rest,
  });
}

interface Chunks extends Pick<StoredImage, 'orientation' | 'frames' | 'metadataBytes' | 'colours'> {
  readonly isTransparent: boolean;
}

/** The chunks between IHDR and the picture's data. */
function readChunks(fields: Fields, colour: number): Chunks {
  let orientation: number | undefined;
  let [isTransparent, hasPalette] = [false, false];
  const profiles: Fields[] = [];
  let [frames, metadataBytes, kept] = [1, 0, 0];
  let at = 33;
  for (let count = 0; count < MAX_CHUNKS; count++) {
    const length = fields.u32(at);
    const name = fields.name(at + 4);
    if (name === 'IDAT') {
      if (colour === PALETTE && !hasPalette) throw new BrokenHeaderError('has no palette');
      const colours = coloursOf(profiles, (colour & COLOURED) !== 0);
      return { orientation: orientation ?? 1, isTransparent, frames, metadataBytes, colours };
    }
    if (name === 'IEND') break;
    if (length > 0x7fffffff) throw new BrokenHeaderError(`has a chunk of ${length} bytes`);
    const [start, end] = [at + 8, at + 8 + length];
    if (name === 'PLTE') hasPalette = true;
    if (name === 'tRNS') isTransparent = true;
    if (name === 'iCCP') profiles.push(fields.part(Math.min(start, fields.length), Math.min(end, fields.length)));
    if (name === 'acTL' && length >= 4) frames = fields.u32(start);
    // libpng takes an eXIf chunk without the prefix only.
    if (name === 'eXIf' && !fields.has(start, 'Exif')) orientation ??= exifOrientation(fields.part(start, end).bytes);
    if (COMPRESSED.has(name) && kept < MAX_KEPT_CHUNKS) {
      kept += 1;
      metadataBytes += Math.min(MAX_INFLATED_BYTES, MAX_INFLATION * length);
    }
    at = end + 4;
  }
  throw new BrokenHeaderError(
    at > fields.length ? 'ends too early' : `has no picture in its first ${MAX_CHUNKS} chunks`,
  );
}

/** An iCCP chunk: a name of up to 79 characters and a zero, the method zero, and the profile, deflated. */
function coloursOf([chunk, ...more]: readonly Fields[], isColoured: boolean): Colours {
  if (chunk === undefined) return 'plain';
  const end = chunk.bytes.subarray(0, MAX_NAME + 1).indexOf(0);
  const deflated = chunk.bytes.subarray(end + 2);
  const isKnown = end > 0 && chunk.bytes[end + 1] === 0 && deflated.length <= MAX_SRGB_BYTES;
  if (!isKnown || more.length > 0 || !isColoured) return 'profile';
  try {
    return coloursBy(inflateSync(deflated, { maxOutputLength: MAX_SRGB_BYTES }));
  } catch {
    // Not deflated, or too long.
    return 'profile';
  }
}
