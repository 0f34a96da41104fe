/**
 * GIF: the canvas as libnsgif makes it, and the number of frames, because that decoder lists all frames before it draws
 * the first. The canvas is the logical screen, grown to hold the first frame. libnsgif ignores a screen of a monitor's
 * usual size or of more than 2,048 pixels a side; then the first frame alone counts. What the first frame leaves
 * uncovered is transparent, as in browsers, whatever background colour the file names; libvips makes it black.
 *
 * Sources: GIF89a §18 to §23; libnsgif gif.c (nsgif_data_scan, nsgif__parse_image_descriptor).
 */
import { BrokenHeaderError, Fields } from './fields.js';
import { simpleImage, type StoredImage } from './stored-image.js';

const [EXTENSION, FRAME, TRAILER, COMMENT] = [0x21, 0x2c, 0x3b, 0xfe];
/** Screens that old programs wrote whatever the picture was. */
const MONITORS = new Set(['640×480', '640×512', '800×600', '1024×768', '1280×1024', '1600×1200']);
const MAX_BELIEVED = 2048;
/** Sub-blocks and frames that are walked. Sub-blocks of 255 bytes, as usual, make 128 MB of file. */
const MAX_STEPS = 500_000;
type FourNumbers = [number, number, number, number];
/** Bytes of the smallest frame. */
const SMALLEST_FRAME = 12;

/** Throws BrokenHeaderError. */
export function readGif(bytes: Uint8Array): StoredImage {
  const fields = new Fields(bytes, 'little');
  let [width, height] = [fields.u16(6), fields.u16(8)];
  if (!isBelieved(width, height)) [width, height] = [1, 1];
  const first = afterExtensions(bytes, afterColours(fields.u8(10), 13), MAX_STEPS);
  if (first.steps >= MAX_STEPS) throw new BrokenHeaderError('has too many blocks before its picture');
  if (fields.u8(first.at) === TRAILER) throw new BrokenHeaderError('has no picture');
  if (fields.u8(first.at) !== FRAME) throw new BrokenHeaderError('has something else where its picture should begin');
  const [left, top, across, down] = [1, 3, 5, 7].map((offset) => fields.u16(first.at + offset)) as FourNumbers;
  if (across === 0 || down === 0) throw new BrokenHeaderError('has an empty first frame');
  width = Math.max(width, left + across);
  height = Math.max(height, top + down);
  return simpleImage({
    format: 'gif',
    stored: { width, height },
    channels: 4,
    codedSamples: across * down,
    frame: across === width && down === height ? undefined : { left, top, width: across, height: down },
    frames: countFrames(bytes, first.at),
  });
}

function isBelieved(width: number, height: number): boolean {
  const isSize = width > 0 && height > 0 && width <= MAX_BELIEVED && height <= MAX_BELIEVED;
  return isSize && !MONITORS.has(`${width}×${height}`);
}

/** Frames from the first on; an upper estimate where they are too many to walk. */
function countFrames(bytes: Uint8Array, first: number): number {
  let at = first;
  let frames = 0;
  for (let steps = 0; bytes[at] === FRAME && at + 10 < bytes.length; steps++) {
    frames += 1;
    // The descriptor, its colours, and the code size before the sub-blocks.
    const data = skipBlocks(bytes, afterColours(bytes[at + 9]!, at + 10) + 1, MAX_STEPS - steps);
    if (data.at >= bytes.length) return frames;
    steps += data.steps;
    if (steps >= MAX_STEPS) return frames + Math.ceil((bytes.length - at) / SMALLEST_FRAME);
    const next = afterExtensions(bytes, data.at, MAX_STEPS - steps);
    steps += next.steps;
    at = next.at;
  }
  return frames;
}

/** Behind a colour table, where the flags say that there is one. */
function afterColours(flags: number, at: number): number {
  return (flags & 0x80) === 0 ? at : at + 3 * (2 << (flags & 7));
}

interface Walked {
  readonly at: number;
  readonly steps: number;
}

/** Behind any number of extensions, or behind the end of the bytes. */
function afterExtensions(bytes: Uint8Array, start: number, maxSteps: number): Walked {
  let [at, steps] = [start, 0];
  while (bytes[at] === EXTENSION && steps < maxSteps) {
    // As libnsgif: a comment's blocks begin at once, the others' behind a block of known length.
    const blocks = bytes[at + 1] === COMMENT ? at + 2 : at + 3 + (bytes[at + 2] ?? 0);
    const walked = skipBlocks(bytes, blocks, maxSteps - steps);
    at = walked.at;
    steps += walked.steps + 1;
  }
  return { at, steps };
}

/** Sub-blocks up to the empty one, and that. */
function skipBlocks(bytes: Uint8Array, start: number, maxSteps: number): Walked {
  let [at, steps] = [start, 0];
  while (at < bytes.length && bytes[at] !== 0 && steps < maxSteps) {
    at += bytes[at]! + 1;
    steps += 1;
  }
  return { at: at + 1, steps };
}
