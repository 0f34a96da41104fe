/**
 * TIFF and BigTIFF: the first directory, and how its picture is cut into tiles or strips. The others are only counted;
 * the decoder reads each of them before the first pixel. Depth and channels are those that libvips gives, which differ
 * from the file's for palettes, Lab, few bits and half floats.
 *
 * Sources: TIFF 6.0 §2 to §8, §15 (tiles), BigTIFF; libtiff tif_dirread.c, libvips tiff2vips.c (rtiff_pick_reader).
 */
import { BrokenHeaderError, Fields, UnsupportedImageError } from './fields.js';
import { looksFor, readJpegFrame, type Looks } from './jpeg.js';
import { simpleImage, type StoredImage } from './stored-image.js';

const TAG = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  stripOffsets: 273,
  orientation: 274,
  samples: 277,
  rowsPerStrip: 278,
  planar: 284,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  sampleFormat: 339,
  subsampling: 530,
  profile: 34675,
} as const;

const [WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE, SEPARATED, YCBCR, CIELAB, LOGLUV] = [0, 1, 3, 5, 6, 8, 32845];
const [OLD_JPEG, JPEG] = [6, 7];
const SEPARATE_PLANES = 2;
const [UNSIGNED, SIGNED, VOID] = [1, 2, 4];
/** Types that hold an unsigned integer: bytes of each. */
const INTEGER_BYTES: Readonly<Record<number, 1 | 2 | 4 | 8>> = { 1: 1, 3: 2, 4: 4, 16: 8 };

/**
 * Entries of a directory, and different tags of all of them: libtiff sorts all the tags it knows for each that it does
 * not know, so that 49 kB of them take 2 s. Real files have some dozen.
 */
const MAX_ENTRIES = 512;
const MAX_TAGS = 1024;
/** Directories that are counted, and entries in all of them. Whole-slide scans have a dozen, documents some hundred. */
const MAX_PAGES = 10_000;
const MAX_ALL_ENTRIES = 200_000;
const MAX_JPEG_PIECES = 20_000;
/** A longer strip is read line by line, see libvips. */
const MAX_STRIP_ROWS = 128;
/** What libvips allows libtiff to take at once. */
const MAX_STORED_STRIP = 52_428_800;

/** Throws BrokenHeaderError, and UnsupportedImageError. */
export function readTiff(bytes: Uint8Array): StoredImage {
  const fields = new Fields(bytes, bytes[0] === 0x49 ? 'little' : 'big');
  const layout = fields.u16(2) === 43 ? BIG : CLASSIC;
  const first = layout.offset(fields, layout.first);
  const directory = readDirectory(fields, first, layout);
  const facts = readPicture(directory);
  return simpleImage({ ...facts, frames: countPages(fields, first, layout) });
}

/** Where things are: classic TIFF has offsets of 4 bytes, BigTIFF of 8. */
interface Layout {
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

/** The integers of a directory's entries, each read when it is asked for. */
interface Directory {
  readonly fields: Fields;
  /** An entry's value at an index; undefined where there is none. */
  readonly value: (tag: number, index?: number) => number | undefined;
  /** The value of an entry that has only one; undefined where there is none, or more, as in libtiff. */
  readonly single: (tag: number) => number | undefined;
  readonly count: (tag: number) => number;
}

interface Entry {
  readonly bytes: 1 | 2 | 4 | 8 | undefined;
  readonly count: number;
  /** Of the value. */
  readonly at: number;
}

function readDirectory(fields: Fields, start: number, layout: Layout): Directory {
  const size = layout.count(fields, start);
  if (size === 0) throw new BrokenHeaderError('has an empty directory');
  if (size > MAX_ENTRIES) throw tooManyEntries();
  const entries = new Map<number, Entry>();
  for (let i = 0; i < size; i++) {
    const at = start + layout.countBytes + i * layout.entryBytes;
    const tag = fields.u16(at);
    // Of entries with the same tag the first counts, as in libtiff.
    if (entries.has(tag)) continue;
    const bytes = INTEGER_BYTES[fields.u16(at + 2)];
    const values = layout.offset(fields, at + 4);
    const inline = at + 4 + layout.offsetBytes;
    const isInline = (bytes ?? Infinity) * values <= layout.offsetBytes;
    entries.set(tag, { bytes, count: values, at: isInline ? inline : layout.offset(fields, inline) });
  }
  const value = (tag: number, index = 0): number | undefined => {
    const entry = entries.get(tag);
    if (entry?.bytes === undefined || index >= entry.count) return undefined;
    return integerAt(fields, entry.at + index * entry.bytes, entry.bytes);
  };
  const count = (tag: number): number => entries.get(tag)?.count ?? 0;
  return { fields, value, count, single: (tag) => (count(tag) === 1 ? value(tag) : undefined) };
}

function integerAt(fields: Fields, at: number, bytes: 1 | 2 | 4 | 8): number {
  switch (bytes) {
    case 1:
      return fields.u8(at);
    case 2:
      return fields.u16(at);
    case 4:
      return fields.u32(at);
    case 8:
      return fields.u64(at);
  }
}

/** Directories of the chain, up to the first that libtiff would not read. Throws where they are too many. */
function countPages(fields: Fields, first: number, layout: Layout): number {
  const seen = new Set<number>();
  const tags = new Set<number>();
  let entries = 0;
  let at = first;
  while (at !== 0 && !seen.has(at) && at + layout.countBytes <= fields.length) {
    const count = layout.count(fields, at);
    const next = at + layout.countBytes + count * layout.entryBytes;
    if (count === 0 || next > fields.length) break;
    if (count > MAX_ENTRIES) throw tooManyEntries();
    for (let i = 0; i < count; i++) tags.add(fields.u16(at + layout.countBytes + i * layout.entryBytes));
    if (tags.size > MAX_TAGS) {
      throw new UnsupportedImageError(`TIFF files of more than ${MAX_TAGS} different tags are not decoded.`);
    }
    seen.add(at);
    entries += count;
    if (seen.size > MAX_PAGES)
      throw new UnsupportedImageError(`TIFF files of more than ${MAX_PAGES} pages are not decoded.`);
    if (entries > MAX_ALL_ENTRIES) {
      throw new UnsupportedImageError(`TIFF files of more than ${MAX_ALL_ENTRIES} directory entries are not decoded.`);
    }
    if (next + layout.offsetBytes > fields.length) break;
    at = layout.offset(fields, next);
  }
  return Math.max(1, seen.size);
}

function tooManyEntries(): UnsupportedImageError {
  return new UnsupportedImageError(`TIFF files of more than ${MAX_ENTRIES} entries in a directory are not decoded.`);
}

type Picture = Pick<StoredImage, 'format' | 'stored' | 'channels'> & Partial<StoredImage>;

function readPicture(directory: Directory): Picture {
  const [width, height] = [directory.single(TAG.width) ?? 0, directory.single(TAG.height) ?? 0];
  if (width === 0 || height === 0) throw new BrokenHeaderError(`says ${width}×${height} pixels`);
  const orientation = directory.single(TAG.orientation) ?? 1;
  const samples = samplesOf(directory);
  return {
    format: 'tiff',
    stored: { width, height },
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    ...samples,
    colours:
      directory.single(TAG.photometric) === SEPARATED ? 'cmyk' : directory.count(TAG.profile) > 0 ? 'profile' : 'plain',
    compressed: (directory.single(TAG.compression) ?? 1) !== 1,
    ...piecesOf(directory, { width, height }, samples),
  };
}

type Samples = Pick<StoredImage, 'deep' | 'bytesPerSample' | 'channels'>;

/** What libvips makes of a pixel. */
function samplesOf(directory: Directory): Samples {
  const bits = directory.value(TAG.bits) ?? 1;
  const channels = directory.single(TAG.samples) ?? 1;
  const format = directory.value(TAG.sampleFormat) ?? UNSIGNED;
  const photometric = directory.single(TAG.photometric) ?? BLACK_IS_ZERO;
  const asRead = (deep: boolean, bytesPerSample: number, of = channels): Samples => ({
    ...{ deep, bytesPerSample },
    channels: of,
  });
  if (isReadAsRgba(directory)) return asRead(false, 1, 4);
  if (photometric === LOGLUV) return asRead(true, 4);
  if (photometric === CIELAB && bits === 8) return channels > 3 ? asRead(true, 2) : asRead(false, 1, 4);
  if (photometric === CIELAB && bits === 16) return asRead(true, 2);
  if (photometric === PALETTE) return asRead(bits > 8, bits > 8 ? 2 : 1, channels + 2);
  const isGrey = photometric === WHITE_IS_ZERO || photometric === BLACK_IS_ZERO;
  if (isGrey && bits < 8) return asRead(false, 1);
  const isByte = bits <= 8 && (format === UNSIGNED || format === VOID);
  const isHalf = bits === 16 && format !== UNSIGNED && format !== SIGNED && format !== VOID;
  return asRead(!isByte, isHalf ? 4 : Math.max(1, Math.ceil(bits / 8)));
}

/** Old JPEG, and subsampled colours, go another way through libtiff. */
function isReadAsRgba(directory: Directory): boolean {
  const compression = directory.single(TAG.compression) ?? 1;
  if (compression === OLD_JPEG) return true;
  if (compression === JPEG || directory.single(TAG.photometric) !== YCBCR) return false;
  const isWhole = [0, 1].every((index) => (directory.value(TAG.subsampling, index) ?? 2) === 1);
  return !isWhole;
}

type Pieces = Pick<StoredImage, 'tiles' | 'codedSamples' | 'heldBytes'> &
  Partial<Pick<StoredImage, 'scans' | 'progressive'>>;

/** Tiles or strips, and of JPEG-compressed ones the scans. */
function piecesOf(
  directory: Directory,
  { width, height }: StoredImage['stored'],
  { channels, bytesPerSample }: Samples,
): Pieces {
  const { fields, single } = directory;
  const [tileWidth, tileHeight] = [single(TAG.tileWidth), single(TAG.tileHeight)];
  const isTiled = tileWidth !== undefined || tileHeight !== undefined;
  const planes = single(TAG.planar) === SEPARATE_PLANES ? channels : 1;
  const rowsPerStrip = Math.min(height, Math.max(1, single(TAG.rowsPerStrip) ?? height));
  const [across, down] = isTiled ? [tileWidth ?? 0, tileHeight ?? 0] : [width, rowsPerStrip];
  if (across === 0 || down === 0) throw new BrokenHeaderError(`has tiles of ${across}×${down} pixels`);
  const columns = Math.ceil(width / across);
  const tiles = columns * Math.ceil(height / down) * planes;
  const isByLine =
    !isTiled &&
    rowsPerStrip > MAX_STRIP_ROWS &&
    planes === 1 &&
    single(TAG.photometric) !== YCBCR &&
    !isReadAsRgba(directory);
  const pieceBytes = across * down * channels * bytesPerSample;
  // A tile cache of two rows and what is being read; a strip as it is decoded and as it is given on; a strip that is
  // decoded line by line as it is stored.
  const heldBytes = isTiled
    ? (2 * (1 + Math.floor(width / across)) + 3) * pieceBytes
    : isByLine
      ? Math.min(fields.length, MAX_STORED_STRIP)
      : 2 * pieceBytes;
  const scans = single(TAG.compression) === JPEG ? scansOf(directory, isTiled ? TAG.tileOffsets : TAG.stripOffsets) : 1;
  return {
    tiles,
    codedSamples: columns * across * Math.ceil(height / down) * down * channels,
    heldBytes,
    scans,
    progressive: scans > 1,
  };
}

/** The most scans that one of the JPEG pieces has. They may lie over each other, so what is looked at is bounded. */
function scansOf({ fields, value, count }: Directory, offsets: number): number {
  const pieces = count(offsets);
  if (pieces > MAX_JPEG_PIECES) {
    throw new UnsupportedImageError(`TIFF files of more than ${MAX_JPEG_PIECES} JPEG tiles or strips are not decoded.`);
  }
  let most = 1;
  const looks = looksFor(fields.length);
  for (let index = 0; index < pieces; index++) {
    const at = value(offsets, index);
    // libtiff finds out what is wrong with a piece when it comes to it; those before it are decoded.
    if (at === undefined || !fields.has(at, '\xff\xd8')) continue;
    most = Math.max(most, scansAt(fields, at, looks));
    if (looks.left === 0) throw new BrokenHeaderError('has JPEG tiles that lie over each other');
  }
  return most;
}

function scansAt(fields: Fields, at: number, looks: Looks): number {
  try {
    return readJpegFrame(fields.bytes.subarray(at), looks).scans;
  } catch (error) {
    if (error instanceof BrokenHeaderError || error instanceof UnsupportedImageError) return 1;
    throw error;
  }
}
