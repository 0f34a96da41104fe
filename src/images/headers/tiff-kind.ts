/**
 * Which TIFFs are read. The format allows any colour in any number of bits in any order, and libvips answers many of
 * them with another picture: YCbCr as RGB, signed and floating samples clipped, planes or tiles left black. So the
 * directory says what a file is, and a kind whose pixels were not found equal to an independent decoder's
 * (test/unit/images/tiff-kinds.test.ts) is refused by its name before anything is decoded.
 *
 * Sources: TIFF 6.0 §3 to §6 (grey, palette, RGB), §8 (baseline fields), §16 (CMYK), §18 (alpha), §20 (format of
 * samples), §21 (YCbCr), §23 (Lab); TIFF technical notes 1 and 2; libvips tiff2vips.c (rtiff_pick_reader).
 */
import { BrokenHeaderError, UnsupportedImageError } from './fields.js';
import { coloursBy } from './icc.js';
import type { Colours, StoredImage } from './stored-image.js';
import type { Directory } from './tiff-directory.js';

const TAG = {
  bits: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  samples: 277,
  planar: 284,
  rowsPerStrip: 278,
  predictor: 317,
  palette: 320,
  tileWidth: 322,
  tileHeight: 323,
  inkSet: 332,
  extraSamples: 338,
  sampleFormat: 339,
  subsampling: 530,
  profile: 34675,
} as const;

/** Tags of several values. */
const MANY = new Set<number>([TAG.bits, TAG.palette, TAG.extraSamples, TAG.sampleFormat, TAG.subsampling]);

/** What the samples of a pixel mean. */
interface Meaning {
  readonly name: string;
  /** Samples that are colours; one more may be alpha. */
  readonly colours: number;
  readonly bits: readonly number[];
  readonly takesAlpha: boolean;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  0: { name: 'grey with white as zero', colours: 1, bits: [1, 2, 4, 8, 16], takesAlpha: false },
  1: { name: 'grey', colours: 1, bits: [1, 2, 4, 8, 16], takesAlpha: true },
  2: { name: 'RGB', colours: 3, bits: [8, 16], takesAlpha: true },
  3: { name: 'a palette', colours: 1, bits: [1, 2, 4, 8], takesAlpha: false },
  5: { name: 'CMYK', colours: 4, bits: [8, 16], takesAlpha: false },
  6: { name: 'YCbCr', colours: 3, bits: [8], takesAlpha: false },
};
const [GREY, RGB, PALETTE, SEPARATED, YCBCR] = [1, 2, 3, 5, 6];
const OTHER_MEANINGS: Readonly<Record<number, string>> = {
  4: 'a transparency mask',
  8: 'CIE Lab',
  9: 'ICC Lab',
  10: 'ITU Lab',
  32803: 'the mosaic of a camera sensor',
  32844: 'LogL',
  32845: 'LogLuv',
  34892: 'the linear values of a camera sensor',
  51177: 'depths',
};

const [NONE, OLD_JPEG, JPEG] = [1, 6, 7];
/** Fax codes, for pixels of one bit. */
const FAX = new Set([2, 3, 4]);
const [LZW, PACKBITS, DEFLATE, OLD_DEFLATE] = [5, 32773, 8, 32946];
/** Those that work with predictors. */
const PREDICTED = new Set([LZW, DEFLATE, OLD_DEFLATE]);
const COMPRESSIONS = new Set([NONE, ...FAX, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS]);
const OTHER_COMPRESSIONS: Readonly<Record<number, string>> = {
  [OLD_JPEG]: 'JPEG of the old style',
  9: 'JBIG',
  10: 'JBIG',
  32766: 'NeXT',
  32771: 'CCITT RLE of whole words',
  32809: 'ThunderScan',
  32867: 'Kodak KDC',
  32908: 'Pixar film',
  32909: 'PixarLog',
  32947: 'Kodak DCS',
  33003: 'JPEG 2000',
  33005: 'JPEG 2000',
  34661: 'JBIG',
  34676: 'SGI Log',
  34677: 'SGI Log of 24 bits',
  34712: 'JPEG 2000',
  34713: 'Nikon NEF',
  34887: 'LERC',
  34892: 'lossy JPEG of DNG',
  34925: 'LZMA',
  34933: 'PNG',
  34934: 'JPEG XR',
  50000: 'Zstandard',
  50001: 'WebP',
  50002: 'JPEG XL',
  52546: 'JPEG XL',
};

const [UNSIGNED, VOID] = [1, 4];
const OTHER_FORMATS: Readonly<Record<number, string>> = {
  2: 'signed samples',
  3: 'samples in floating point',
  5: 'complex samples',
  6: 'complex samples',
};

const [UNSPECIFIED, ASSOCIATED, UNASSOCIATED] = [0, 1, 2];
/** Samples that are left out. */
const MAX_SURPLUS = 2;
const SEPARATE_PLANES = 2;
const CMYK_INKS = 1;
const DIFFERENCES = 2;

export interface TiffKind extends Pick<
  StoredImage,
  'deep' | 'bytesPerSample' | 'channels' | 'colours' | 'tiled' | 'hasSurplus'
> {
  /** Pieces of their own for each sample: samples of a pixel, or 1. */
  readonly planes: number;
  readonly bits: number;
  /** Samples of a pixel, in the file. */
  readonly samples: number;
  readonly isJpeg: boolean;
  readonly compressed: boolean;
  /** Chroma has fewer samples than there are pixels, in the file. */
  readonly isSubsampled: boolean;
  /** libvips reads its strips whole, however long. */
  readonly isReadWhole: boolean;
}

/** Throws UnsupportedImageError for a kind that is not read, and BrokenHeaderError. */
export function kindOf(directory: Directory): TiffKind {
  const wrong = Object.values(TAG).find((tag) => tag !== TAG.profile && !isSound(directory, tag));
  if (wrong !== undefined) throw new BrokenHeaderError(`has something else than a whole number in tag ${wrong}`);
  const compression = directory.single(TAG.compression) ?? NONE;
  if (!COMPRESSIONS.has(compression)) {
    throw notRead(`${OTHER_COMPRESSIONS[compression] ?? `unknown (${compression})`} compression`);
  }
  const photometric = directory.single(TAG.photometric);
  if (photometric === undefined) throw new BrokenHeaderError('does not say what its samples mean');
  const meaning = MEANINGS[photometric];
  if (meaning === undefined) {
    throw notRead(`samples that mean ${OTHER_MEANINGS[photometric] ?? `something unknown (${photometric})`}`);
  }
  const samples = directory.single(TAG.samples) ?? 1;
  const extra = extraOf(directory, meaning, samples);
  const bits = bitsOf(directory, meaning, samples);
  const tiled = directory.count(TAG.tileWidth) > 0 || directory.count(TAG.tileHeight) > 0;
  const hasPlanes = directory.single(TAG.planar) === SEPARATE_PLANES;
  if (hasPlanes) checkPlanes({ photometric, samples, bits, tiled, extra, compression });
  checkCoding(directory, { photometric, samples, bits, tiled, extra, compression });
  if (photometric === PALETTE) checkPalette(directory, bits);
  if (photometric === SEPARATED && (directory.single(TAG.inkSet) ?? CMYK_INKS) !== CMYK_INKS) {
    throw notRead('inks other than cyan, magenta, yellow and black');
  }
  if (photometric === YCBCR) checkYcc(directory, compression, tiled);
  const isRgba = photometric === YCBCR && compression !== JPEG;
  return {
    tiled,
    bits,
    samples,
    planes: hasPlanes ? samples : 1,
    isJpeg: compression === JPEG,
    compressed: compression !== NONE,
    isSubsampled: isRgba,
    isReadWhole: hasPlanes || photometric === YCBCR,
    deep: bits > 8,
    bytesPerSample: bits > 8 ? 2 : 1,
    channels: isRgba ? 4 : photometric === PALETTE ? 3 : samples,
    colours: coloursOf(directory, photometric),
    hasSurplus: extra === 'surplus',
  };
}

export function notRead(kind: string): UnsupportedImageError {
  return new UnsupportedImageError(`This kind of TIFF is not read: ${kind}.`);
}

/**
 * Whether a tag is as it should be, or left out. libtiff takes signed numbers for unsigned ones, and ignores some tags of
 * too many; nobody writes them.
 */
function isSound({ count, integers }: Directory, tag: number): boolean {
  return count(tag) === 0 || (integers(tag) !== undefined && (MANY.has(tag) || count(tag) === 1));
}

/** What is behind the colours. `surplus`: a selection, or whatever else is no alpha. */
type Extra = 'nothing' | 'alpha' | 'surplus';

function extraOf(directory: Directory, { name, colours, takesAlpha }: Meaning, samples: number): Extra {
  if (samples < colours) throw notRead(`${name} of ${samples} samples a pixel`);
  if (samples === colours) return 'nothing';
  const more = samples - colours;
  const kinds = more <= MAX_SURPLUS ? Array.from({ length: more }, (_, i) => directory.value(TAG.extraSamples, i)) : [];
  const [kind] = kinds;
  if (more === 1 && (kind === ASSOCIATED || kind === UNASSOCIATED)) {
    if (!takesAlpha) throw notRead(`${name} with alpha`);
    return 'alpha';
  }
  const isSurplus = kinds.length > 0 && kinds.every((each) => each === undefined || each === UNSPECIFIED);
  if (!isSurplus || colours !== 3 || !takesAlpha)
    throw notRead(`${name} with samples that are not alpha (${samples} samples a pixel)`);
  return 'surplus';
}

/** Bits of a sample. */
function bitsOf(directory: Directory, { name, bits: known }: Meaning, samples: number): number {
  const formats = perSample(directory, TAG.sampleFormat, samples, UNSIGNED);
  const format = formats.find((value) => value !== UNSIGNED && value !== VOID);
  if (format !== undefined) throw notRead(OTHER_FORMATS[format] ?? `samples of unknown format (${format})`);
  const [bits = 1, ...others] = perSample(directory, TAG.bits, samples, 1);
  if (others.some((other) => other !== bits)) throw notRead('samples of unlike sizes');
  if (!known.includes(bits)) throw notRead(`${name} of ${bits} bits a sample`);
  return bits;
}

/** A tag's value for each sample, of which the first may stand for all. */
function perSample(directory: Directory, tag: number, samples: number, otherwise: number): number[] {
  const count = directory.count(tag);
  if (count === 0) return [otherwise];
  if (count !== 1 && count < samples) throw new BrokenHeaderError(`describes ${count} of its ${samples} samples`);
  return Array.from({ length: count === 1 ? 1 : samples }, (_, index) => directory.value(tag, index) ?? otherwise);
}

interface Shape {
  readonly photometric: number;
  readonly samples: number;
  readonly bits: number;
  readonly tiled: boolean;
  readonly extra: Extra;
  readonly compression: number;
}

/** libvips puts planes together where pixels need no other work. */
function checkPlanes({ photometric, samples, bits, tiled, compression }: Shape): void {
  const isCopied = photometric === RGB || photometric === SEPARATED || samples === 1;
  if (tiled) throw notRead('separate planes in tiles');
  if (!isCopied || bits < 8) throw notRead(`separate planes of ${MEANINGS[photometric]!.name}`);
  if (compression === JPEG) throw notRead('separate planes in JPEG compression');
}

function checkCoding(directory: Directory, { photometric, samples, bits, extra, compression }: Shape): void {
  if (FAX.has(compression) && (bits !== 1 || samples !== 1))
    throw notRead('fax compression of more than one bit a pixel');
  if (compression === JPEG && (bits !== 8 || extra !== 'nothing' || photometric === PALETTE)) {
    const more = extra === 'nothing' ? '' : ' with more samples';
    throw notRead(`JPEG compression of ${MEANINGS[photometric]!.name} of ${bits} bits${more}`);
  }
  const predictor = directory.single(TAG.predictor) ?? 1;
  if (PREDICTED.has(compression) && predictor !== 1 && (predictor !== DIFFERENCES || bits < 8)) {
    throw notRead(`predictor ${predictor} of ${bits} bits a sample`);
  }
  const order = directory.single(TAG.fillOrder) ?? 1;
  if (order !== 1 && (order !== 2 || bits > 8)) throw notRead(`samples of ${bits} bits in fill order ${order}`);
}

function checkPalette(directory: Directory, bits: number): void {
  if (directory.count(TAG.palette) !== 3 * 2 ** bits) throw new BrokenHeaderError('has a palette of the wrong length');
}

/** Only JPEG, and libtiff's way for subsampled colours, make RGB of it. */
function checkYcc(directory: Directory, compression: number, tiled: boolean): void {
  if (compression === JPEG) return;
  const isWhole = [0, 1].every((index) => (directory.value(TAG.subsampling, index) ?? 2) === 1);
  if (isWhole) throw notRead('YCbCr that is not subsampled, without JPEG compression');
  if (tiled && compression === NONE) throw notRead('YCbCr in tiles that are not compressed');
}

function coloursOf(directory: Directory, photometric: number): Colours {
  if (photometric === SEPARATED) return 'cmyk';
  if (directory.count(TAG.profile) === 0) return 'plain';
  const profile = directory.bytes(TAG.profile);
  return photometric !== GREY && profile !== undefined ? coloursBy(profile) : 'profile';
}
