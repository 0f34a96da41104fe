/**
 * JPEG: the frame header, the EXIF orientation, and how many scans the picture has. Markers are walked as libjpeg walks
 * them, which takes stray bytes between segments. Only a JPEG of several scans is read to its end, because the decoder
 * holds all of it and passes over the whole picture once for each scan: 443 kB with 5,000 scans take 22 s.
 *
 * Sources: ITU-T T.81 annex B; libjpeg jdmarker.c and jdinput.c (what is refused, when scans are several).
 */
import { exifOrientation } from './exif.js';
import { BrokenHeaderError, endsTooEarly, Fields, UnsupportedImageError } from './fields.js';
import { coloursBy } from './icc.js';
import { simpleImage, type Colours, type StoredImage } from './stored-image.js';

const [SOI, EOI, SOS, APP1, APP2, TEM] = [0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0x01];
/** Baseline, extended and progressive in Huffman coding; extended and progressive in arithmetic coding. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2, 0xc9, 0xca]);
const PROFILE = 'ICC_PROFILE\0';
const PROGRESSIVE = new Set([0xc2, 0xca]);
const OTHER_FRAMES: Readonly<Record<number, string>> = {
  0xc3: 'lossless',
  0xc5: 'hierarchical',
  0xc6: 'hierarchical',
  0xc7: 'hierarchical',
  0xcb: 'lossless arithmetic',
  0xcd: 'hierarchical',
  0xce: 'hierarchical',
  0xcf: 'hierarchical',
};
/** DHT, DAC, DQT, DNL, DRI, COM; besides them only APP0 to APP15 may stand between scans. */
const SEGMENTS = new Set([0xc4, 0xcc, 0xdb, 0xdc, 0xdd, 0xfe]);

/** Before the first scan. Large profiles and metadata take some hundred. */
const MAX_SEGMENTS = 4_000;
/** So many are refused; there is no need to count on. */
const MANY_SCANS = 1000;

/**
 * How often a 0xFF may be looked at. Entropy data has one in 256 bytes. Four times as many, and some for short restart
 * intervals, are enough for everything that encoders write, and keep 32 MiB of any bytes to some 20 ms.
 */
export interface Looks {
  left: number;
}

export function looksFor(length: number): Looks {
  return { left: 50_000 + Math.floor(length / 64) };
}

/** A picture within a file: all of a JPEG, or one tile of a TIFF. */
export interface JpegFrame {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly progressive: boolean;
  readonly scans: number;
  /** Coefficients of all components, padded to whole blocks. */
  readonly codedSamples: number;
  /** The first EXIF block, unread; undefined where there is none. */
  readonly exif: Uint8Array | undefined;
  /** An ICC profile of one segment; undefined where there is none, or a larger one. */
  readonly profile: Uint8Array | undefined;
  readonly hasProfile: boolean;
}

/** Throws BrokenHeaderError and UnsupportedImageError. */
export function readJpeg(bytes: Uint8Array): StoredImage {
  const { width, height, exif, profile, hasProfile, ...facts } = readJpegFrame(bytes);
  const byProfile = facts.channels === 3 && profile !== undefined ? coloursBy(profile) : 'profile';
  const colours: Colours = facts.channels === 4 ? 'cmyk' : hasProfile ? byProfile : 'plain';
  const orientation = exif === undefined ? 1 : exifOrientation(exif);
  return simpleImage({ format: 'jpeg', stored: { width, height }, orientation, colours, ...facts });
}

/** Throws BrokenHeaderError, and UnsupportedImageError for what libjpeg does not decode. */
export function readJpegFrame(bytes: Uint8Array, looks = looksFor(bytes.length)): JpegFrame {
  const fields = new Fields(bytes, 'big');
  const markers = new Markers(bytes, looks);
  let at = 2;
  let frame: Frame | undefined;
  let exif: Uint8Array | undefined;
  const profiles: Fields[] = [];
  for (let segments = 0; segments < MAX_SEGMENTS; segments++) {
    at = markers.next(at);
    const marker = bytes[at];
    if (marker === undefined) throw endsTooEarly();
    if (looks.left === 0) throw new BrokenHeaderError('has more markers than any encoder writes');
    at += 1;
    if (marker === SOI || marker === EOI) throw new BrokenHeaderError('has no picture');
    const end = at + segmentLength(fields, at, marker);
    if (FRAMES.has(marker)) {
      if (frame !== undefined) throw new BrokenHeaderError('has two frame headers');
      frame = readFrame(fields.part(at, end), PROGRESSIVE.has(marker));
    } else if (marker === APP1 && exif === undefined && end - at > 6 && fields.has(at + 2, 'Exif')) {
      exif = bytes.subarray(at + 2, end);
    } else if (marker === APP2 && fields.has(at + 2, PROFILE)) {
      profiles.push(fields.part(at + 2 + PROFILE.length, Math.max(end, at + 2 + PROFILE.length)));
    } else if (marker === SOS) {
      if (frame === undefined) throw new BrokenHeaderError('has a scan before its frame header');
      const isWhole = !frame.progressive && fields.u8(at + 2) >= frame.components;
      const scans = isWhole ? 1 : 1 + scansAfter(fields, markers, end);
      const { width, height, codedSamples, components } = frame;
      return {
        ...{ width, height, codedSamples, scans },
        channels: components,
        progressive: !isWhole,
        exif,
        profile: wholeProfile(profiles),
        hasProfile: profiles.length > 0,
      };
    }
    at = end;
  }
  throw new BrokenHeaderError(`has more than ${MAX_SEGMENTS} segments before its picture`);
}

/** ICC.1 annex B.4: a segment has its number, how many there are, and its part of the profile. */
function wholeProfile([first, ...more]: readonly Fields[]): Uint8Array | undefined {
  if (first === undefined || more.length > 0 || first.length <= 2) return undefined;
  return first.u8(0) === 1 && first.u8(1) === 1 ? first.bytes.subarray(2) : undefined;
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly progressive: boolean;
  readonly codedSamples: number;
}

function readFrame(segment: Fields, progressive: boolean): Frame {
  const precision = segment.u8(2);
  const [height, width, components] = [segment.u16(3), segment.u16(5), segment.u8(7)];
  if (precision !== 8) {
    throw new UnsupportedImageError(`JPEG files of ${precision} bits a sample are not decoded, only those of 8.`);
  }
  if (width === 0 || height === 0 || components === 0) throw new BrokenHeaderError(`says ${width}×${height} pixels`);
  let [widest, tallest, blocks] = [1, 1, 0];
  for (let i = 0; i < components; i++) {
    const sampling = segment.u8(9 + 3 * i);
    const [across, down] = [sampling >> 4, sampling & 15];
    if (across < 1 || across > 4 || down < 1 || down > 4) throw new BrokenHeaderError('has bad sampling factors');
    widest = Math.max(widest, across);
    tallest = Math.max(tallest, down);
    blocks += across * down;
  }
  const units = Math.ceil(width / (8 * widest)) * Math.ceil(height / (8 * tallest));
  return { width, height, components, progressive, codedSamples: units * blocks * 64 };
}

/** Scans from `start` on, up to the end marker or to where libjpeg gives up; of very many, some. */
function scansAfter(fields: Fields, markers: Markers, start: number): number {
  const { bytes } = fields;
  let scans = 0;
  let at = start;
  for (;;) {
    at = markers.next(at);
    if (markers.looks.left === 0) {
      if (scans > MANY_SCANS) return scans;
      throw new BrokenHeaderError('has more markers and stuffed bytes than any encoder writes');
    }
    const marker = bytes[at];
    if (marker === undefined || at + 3 > bytes.length) return scans;
    at += 1;
    if (!isSegment(marker)) return scans;
    if (marker === SOS) scans += 1;
    at += Math.max(2, fields.u16(at));
  }
}

/** A marker that a segment follows, and that may stand between scans. */
function isSegment(marker: number): boolean {
  return marker === SOS || SEGMENTS.has(marker) || (marker & 0xf0) === 0xe0;
}

/** RST0 to RST7 and TEM: markers without a segment. */
function isBare(marker: number): boolean {
  return (marker & 0xf8) === 0xd0 || marker === TEM;
}

function segmentLength(fields: Fields, at: number, marker: number): number {
  if (!FRAMES.has(marker) && !isSegment(marker)) {
    const kind = OTHER_FRAMES[marker];
    if (kind !== undefined) throw new UnsupportedImageError(`JPEG files of the ${kind} process are not decoded.`);
    throw new BrokenHeaderError(`has an unknown marker, 0x${marker.toString(16)}`);
  }
  return Math.max(2, fields.u16(at));
}

/** Finds markers: whatever stands before them is skipped, as are those without a segment. */
class Markers {
  readonly looks: Looks;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array, looks: Looks) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.looks = looks;
  }

  /** Where the next marker's second byte is; the end where there is none, or where no look is left. */
  next(start: number): number {
    const { length } = this.#bytes;
    let at = start;
    while (this.looks.left > 0) {
      const found = this.#bytes.indexOf(0xff, at);
      if (found < 0 || found + 1 >= length) return length;
      this.looks.left -= 1;
      const second = this.#bytes[found + 1]!;
      // A stuffed zero is data, a row of 0xFF is padding.
      if (second !== 0 && second !== 0xff && !isBare(second)) return found + 1;
      at = found + 1;
    }
    return at;
  }
}
