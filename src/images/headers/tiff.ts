/**
 * TIFF and BigTIFF: the first directory. The others are only counted; the decoder reads each of them before the first
 * pixel. What is read at all is in tiff-kind.ts, where its data are in tiff-pieces.ts.
 *
 * Sources: TIFF 6.0 §2 and §8, BigTIFF; libtiff tif_dirread.c.
 */
import { BrokenHeaderError, Fields, UnsupportedImageError } from './fields.js';
import { simpleImage, type StoredImage } from './stored-image.js';
import { layoutOf, MAX_ENTRIES, readDirectory, tooManyEntries, type Layout } from './tiff-directory.js';
import { kindOf } from './tiff-kind.js';
import { piecesOf } from './tiff-pieces.js';

const TAG = { width: 256, height: 257, orientation: 274 } as const;

/** Different tags of all directories, see MAX_ENTRIES. */
const MAX_TAGS = 1024;
/** Directories that are counted, and entries in all of them. Whole-slide scans have a dozen, documents some hundred. */
const MAX_PAGES = 10_000;
const MAX_ALL_ENTRIES = 200_000;

/** Throws BrokenHeaderError, and UnsupportedImageError. */
export function readTiff(bytes: Uint8Array): StoredImage {
  const fields = new Fields(bytes, bytes[0] === 0x49 ? 'little' : 'big');
  const layout = layoutOf(fields);
  const first = layout.offset(fields, layout.first);
  const directory = readDirectory(fields, first, layout);
  const { single } = directory;
  const [width, height] = [single(TAG.width) ?? 0, single(TAG.height) ?? 0];
  if (width === 0 || height === 0) throw new BrokenHeaderError(`says ${width}×${height} pixels`);
  const orientation = single(TAG.orientation) ?? 1;
  const kind = kindOf(directory);
  const { deep, bytesPerSample, channels, colours, tiled, compressed, hasSurplus } = kind;
  return simpleImage({
    format: 'tiff',
    stored: { width, height },
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    ...{ deep, bytesPerSample, channels, colours, tiled, compressed, hasSurplus },
    ...piecesOf(directory, { width, height }, kind),
    frames: countPages(fields, first, layout),
  });
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
