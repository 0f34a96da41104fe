/**
 * The tiles or strips of a TIFF: that each lies in the file, and what their decode holds and costs. libtiff leaves black
 * what it cannot read, and says so in a warning only, so a file that was cut off is found out here.
 *
 * Sources: TIFF 6.0 §8 (strips) and §15 (tiles); libtiff tif_read.c; libvips tiff2vips.c (rtiff_header_read).
 */
import { BrokenHeaderError, UnsupportedImageError } from './fields.js';
import { looksFor, readJpegFrame, type JpegFrame } from './jpeg.js';
import type { StoredImage } from './stored-image.js';
import type { Directory, Integers } from './tiff-directory.js';
import { notRead, type TiffKind } from './tiff-kind.js';

const TAG = {
  stripOffsets: 273,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
} as const;

/** 50 megapixels in tiles of 32×32 are as many. To look at all takes some milliseconds. */
const MAX_PIECES = 50_000;
/** 50 megapixels in tiles of 128×128 are 3,000. */
const MAX_JPEG_PIECES = 5_000;
/** Bytes of all JPEG pieces, in lengths of the file. Those of a sound file lie beside each other, or are the same. */
const MAX_JPEG_LENGTHS = 2;
/** Bytes behind the end marker of a JPEG piece. */
const MAX_PADDING = 64;
/** A longer strip is read line by line, see libvips. */
const MAX_STRIP_ROWS = 128;
/** What libvips allows libtiff to take at once, and what it takes for a tile itself. */
const MAX_STORED_STRIP = 52_428_800;
const MAX_TILE_BYTES = 100_000_000;
const MAX_TILE_SIDE = 8192;

type Pieces = Pick<StoredImage, 'tiles' | 'codedSamples' | 'heldBytes'> &
  Partial<Pick<StoredImage, 'scans' | 'progressive'>>;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Throws BrokenHeaderError where data lie outside of the file, and UnsupportedImageError. */
export function piecesOf(directory: Directory, size: Size, kind: TiffKind): Pieces {
  const { channels, bytesPerSample, planes, tiled } = kind;
  const piece = tiled ? tileOf(directory, size, kind) : stripOf(directory, size);
  const columns = Math.ceil(size.width / piece.width);
  const rows = Math.ceil(size.height / piece.height);
  const tiles = columns * rows * planes;
  if (tiles > MAX_PIECES) {
    throw new UnsupportedImageError(`TIFF files of more than ${MAX_PIECES} tiles or strips are not decoded.`);
  }
  const isPlain = !kind.compressed && !kind.isSubsampled;
  const extents = extentsOf(directory, tiles, tiled, isPlain ? bytesOf(piece, kind) : undefined);
  const scans = kind.isJpeg ? scansOf(directory, extents, piece, size, kind) : 1;
  const pieceBytes = piece.width * piece.height * channels * bytesPerSample;
  // A tile cache of two rows and what is being read; a strip as it is decoded and as it is given on; a strip that is
  // decoded line by line as it is stored.
  const heldBytes = tiled
    ? (2 * (1 + Math.floor(size.width / piece.width)) + 3) * pieceBytes
    : piece.height > MAX_STRIP_ROWS && !kind.isReadWhole
      ? Math.min(directory.fields.length, MAX_STORED_STRIP)
      : 2 * pieceBytes;
  return {
    tiles,
    codedSamples: columns * piece.width * rows * piece.height * channels,
    heldBytes,
    scans,
    progressive: scans > 1,
  };
}

/** As libvips takes them. */
function tileOf({ single }: Directory, { width, height }: Size, kind: TiffKind): Size {
  const tile = { width: single(TAG.tileWidth) ?? 0, height: single(TAG.tileHeight) ?? 0 };
  const name = `tiles of ${tile.width}×${tile.height} pixels`;
  const sides = [tile.width, tile.height];
  if (sides.includes(0)) throw new BrokenHeaderError(`has ${name}`);
  const most = Math.min(MAX_TILE_SIDE, 256 * Math.ceil((2 * Math.max(width, height)) / 256));
  const isTaken = sides.every((side) => side % 16 === 0 && side <= most) && bytesOf(tile, kind) <= MAX_TILE_BYTES;
  if (!isTaken) throw notRead(name);
  return tile;
}

function stripOf({ single }: Directory, { width, height }: Size): Size {
  return { width, height: Math.min(height, Math.max(1, single(TAG.rowsPerStrip) ?? height)) };
}

/** Of a piece that is not compressed. */
function bytesOf({ width, height }: Size, { bits, samples, planes }: TiffKind): number {
  return Math.ceil((width * bits * (samples / planes)) / 8) * height;
}

interface Extents {
  readonly offset: (index: number) => number;
  readonly bytes: (index: number) => number;
}

/** Where the pieces are, each inside of the file. `plainBytes`: those of a piece, where pieces are not compressed. */
function extentsOf(
  { fields, integers, count }: Directory,
  pieces: number,
  tiled: boolean,
  plainBytes: number | undefined,
): Extents {
  const name = tiled ? 'tile' : 'strip';
  const offsets = integers(tiled ? TAG.tileOffsets : TAG.stripOffsets);
  if (offsets === undefined || offsets.count < pieces) {
    throw new BrokenHeaderError(`says where ${offsets?.count ?? 0} of its ${pieces} ${name}s are`);
  }
  const tag = tiled ? TAG.tileByteCounts : TAG.stripByteCounts;
  // Old programs leave the length of a single strip out, or get it wrong; libtiff knows better, and so do we.
  const isImplied = pieces === 1 && !tiled && plainBytes !== undefined && count(tag) <= 1;
  const lengths: Integers | undefined = isImplied
    ? { count: 1, at: () => Math.max(plainBytes, integers(tag)?.at(0) ?? 0) }
    : integers(tag);
  if (lengths === undefined || lengths.count < pieces) {
    throw new BrokenHeaderError(`says how long ${lengths?.count ?? 0} of its ${pieces} ${name}s are`);
  }
  for (let index = 0; index < pieces; index++) {
    const at = offsets.at(index);
    const bytes = lengths.at(index);
    if (bytes === 0) throw notRead(`${name}s without data`);
    if (at + bytes > fields.length) {
      throw new BrokenHeaderError(`ends before its ${name} ${index + 1} of ${pieces} does: it was cut off`);
    }
  }
  return { offset: offsets.at, bytes: lengths.at };
}

/** The most scans that one of the JPEG pieces has. */
function scansOf({ fields }: Directory, extents: Extents, piece: Size, size: Size, kind: TiffKind): number {
  const pieces = Math.ceil(size.width / piece.width) * Math.ceil(size.height / piece.height);
  if (pieces > MAX_JPEG_PIECES) {
    throw new UnsupportedImageError(`TIFF files of more than ${MAX_JPEG_PIECES} JPEG tiles or strips are not decoded.`);
  }
  let most = 1;
  const frameAt = jpegFrames(fields.bytes);
  for (let index = 0; index < pieces; index++) {
    const frame = frameAt(extents.offset(index), extents.bytes(index));
    const rows = kind.tiled ? piece.height : Math.min(piece.height, size.height - index * piece.height);
    // libvips takes a smaller tile's lines for lines of a whole one. Where a strip ends early, libtiff leaves black.
    const isWhole = frame.width === piece.width && (kind.tiled ? frame.height === rows : frame.height >= rows);
    if (!isWhole || frame.channels !== kind.samples) {
      throw new BrokenHeaderError(
        `has a JPEG piece of ${frame.width}×${frame.height} pixels and ${frame.channels} colours in place of ` +
          `${piece.width}×${rows} and ${kind.samples}`,
      );
    }
    most = Math.max(most, frame.scans);
  }
  return most;
}

/**
 * The JPEG pieces of a file, by place and length. Many pieces may be the same bytes, which are read once. Others may lie
 * over each other, so what is read of all together is bounded.
 */
function jpegFrames(file: Uint8Array): (offset: number, bytes: number) => JpegFrame {
  const known = new Map<string, JpegFrame>();
  const looks = looksFor(file.length);
  let left = MAX_JPEG_LENGTHS * file.length;
  return (offset, bytes) => {
    const place = `${offset} ${bytes}`;
    const frame = known.get(place);
    if (frame !== undefined) return frame;
    left -= bytes;
    if (left < 0) throw new BrokenHeaderError('has JPEG pieces that lie over each other');
    const piece = file.subarray(offset, offset + bytes);
    if (!endsAsJpeg(piece)) throw new BrokenHeaderError('has a JPEG piece without an end: it was cut off');
    const read = readJpegFrame(piece, looks);
    known.set(place, read);
    return read;
  };
}

/** Padding behind the end is usual. libtiff decodes what is there without a word. */
function endsAsJpeg(bytes: Uint8Array): boolean {
  for (let at = bytes.length - 2; at >= 2 && at > bytes.length - 2 - MAX_PADDING; at--) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  }
  return false;
}
