/**
 * WebP: the canvas, the codec of its first frame, and the EXIF orientation, which stands behind the picture. Chunks are
 * walked to the end of the RIFF, by their lengths.
 *
 * Sources: RFC 9649 §2 (container) and §3 (lossless), RFC 6386 §9.1 (lossy); libwebp demux.c.
 */
import { exifOrientation } from './exif.js';
import { BrokenHeaderError, Fields } from './fields.js';
import { coloursBy } from './icc.js';
import { simpleImage, type Colours, type StoredImage } from './stored-image.js';

/** Bits of VP8X. */
const [ANIMATION, EXIF, ALPHA, PROFILE] = [0x02, 0x08, 0x10, 0x20];
/** Of a file, and of a frame. An animation of ten minutes at 33 frames a second has as many. */
const MAX_CHUNKS = 20_000;

interface Bitstream {
  readonly width: number;
  readonly height: number;
  readonly lossless: boolean;
  readonly hasAlpha: boolean;
}

/** Throws BrokenHeaderError. */
export function readWebp(bytes: Uint8Array): StoredImage {
  const whole = new Fields(bytes, 'little');
  // Bytes behind the RIFF are none of it.
  const fields = whole.part(0, Math.min(whole.length, 8 + whole.u32(4)));
  if (!fields.has(12, 'VP8X'))
    return describe(readBitstream(fields, 12), { frames: 1, orientation: 1, colours: 'plain' });

  const flags = fields.u8(20);
  const canvas = { width: fields.u24(24) + 1, height: fields.u24(27) + 1 };
  let bitstream: Bitstream | undefined;
  let hasAlphaPlane = false;
  let orientation: number | undefined;
  let frames = 0;
  const profiles: Uint8Array[] = [];
  for (const { name, start, end } of chunksFrom(fields, 30)) {
    if (name === 'ANMF' && (flags & ANIMATION) !== 0) {
      frames += 1;
      if (frames > 1) continue;
      ({ bitstream, hasAlphaPlane } = readFrame(fields, start, Math.min(end, fields.length)));
    } else if (isBitstream(name) && (flags & ANIMATION) === 0) {
      bitstream ??= readBitstream(fields, start - 8);
    } else if (name === 'ALPH') {
      hasAlphaPlane = true;
    } else if (name === 'ICCP') {
      profiles.push(bytes.subarray(start, Math.min(end, fields.length)));
    } else if (name === 'EXIF' && (flags & EXIF) !== 0 && end <= fields.length) {
      orientation ??= exifOrientation(bytes.subarray(start, end));
    }
  }
  if (bitstream === undefined) throw new BrokenHeaderError('has no picture');
  const hasAlpha = (flags & ALPHA) !== 0 || hasAlphaPlane || bitstream.hasAlpha;
  const colours = (flags & PROFILE) === 0 ? 'plain' : coloursOf(profiles);
  return describe(
    { ...bitstream, hasAlpha },
    { canvas, frames: Math.max(1, frames), orientation: orientation ?? 1, colours },
  );
}

function coloursOf([profile, ...more]: readonly Uint8Array[]): Colours {
  return profile !== undefined && more.length === 0 ? coloursBy(profile) : 'profile';
}

function describe(
  { width, height, lossless, hasAlpha }: Bitstream,
  rest: { readonly canvas?: StoredImage['stored'] } & Pick<StoredImage, 'frames' | 'orientation' | 'colours'>,
): StoredImage {
  const { canvas = { width, height }, ...facts } = rest;
  const samples = lossless ? 4 : hasAlpha ? 2.5 : 1.5;
  return simpleImage({
    format: 'webp',
    stored: canvas,
    channels: hasAlpha ? 4 : 3,
    lossless,
    codedSamples: width * height * samples,
    ...facts,
  });
}

interface Chunk {
  readonly name: string;
  /** Of its payload. */
  readonly start: number;
  readonly end: number;
}

function* chunksFrom(fields: Fields, first: number): Generator<Chunk> {
  let at = first;
  for (let count = 0; at + 8 <= fields.length; count++) {
    if (count === MAX_CHUNKS) throw new BrokenHeaderError(`has more than ${MAX_CHUNKS} chunks`);
    const length = fields.u32(at + 4);
    yield { name: fields.name(at), start: at + 8, end: at + 8 + length };
    at += 8 + length + (length & 1);
  }
}

/** A frame of an animation: 16 bytes of place and time, then chunks. */
function readFrame(fields: Fields, start: number, end: number): { bitstream: Bitstream; hasAlphaPlane: boolean } {
  const frame = fields.part(start, end);
  let hasAlphaPlane = false;
  for (const chunk of chunksFrom(frame, 16)) {
    if (chunk.name === 'ALPH') hasAlphaPlane = true;
    if (isBitstream(chunk.name)) return { bitstream: readBitstream(frame, chunk.start - 8), hasAlphaPlane };
  }
  throw new BrokenHeaderError('has an empty first frame');
}

function isBitstream(name: string): boolean {
  return name === 'VP8 ' || name === 'VP8L';
}

/** The picture's own header. `at` is where its chunk begins. */
function readBitstream(fields: Fields, at: number): Bitstream {
  const name = fields.name(at);
  const start = at + 8;
  if (name === 'VP8L') {
    if (fields.u8(start) !== 0x2f) throw new BrokenHeaderError('has no VP8L signature');
    const bits = fields.u32(start + 1);
    const [width, height] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
    return { width, height, lossless: true, hasAlpha: ((bits >>> 28) & 1) === 1 };
  }
  if (name !== 'VP8 ') throw new BrokenHeaderError('has no picture');
  if (!fields.has(start + 3, '\x9d\x01\x2a')) throw new BrokenHeaderError('has no VP8 key frame');
  const [width, height] = [fields.u16(start + 6) & 0x3fff, fields.u16(start + 8) & 0x3fff];
  if (width === 0 || height === 0) throw new BrokenHeaderError(`says ${width}×${height} pixels`);
  return { width, height, lossless: false, hasAlpha: false };
}
