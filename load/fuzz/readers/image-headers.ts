/** Headers of images, and what follows from them before anything is decoded: how the image becomes an input, and its cost. */
import { inputDecodeCost, photoDecodeCost } from '../../../src/images/decode-cost.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import type { ImageFormat } from '../../../src/images/image-format.js';
import { FITS, planInput, type Fit } from '../../../src/maps/input-plan.js';
import { IMAGE_FOLDERS, foundImages, madeImages, type SampleImage } from '../images.js';
import { check, type Target } from '../target.js';
import { refusing } from './refusing.js';

/** Names of chunks, boxes and markers. */
const WORDS: Readonly<Record<ImageFormat, readonly string[]>> = {
  jpeg: [
    '\xff\xd8',
    '\xff\xc0\0\x11\x08',
    '\xff\xc2',
    '\xff\xda',
    '\xff\xe1',
    '\xff\xdb',
    '\xff\xd9',
    'Exif\0\0MM\0*',
    'ICC_PROFILE\0',
  ],
  png: [
    'IHDR',
    'IDAT',
    'PLTE',
    'tRNS',
    'iCCP',
    'eXIf',
    'acTL',
    'fcTL',
    'fdAT',
    'IEND',
    'zTXt',
    'iTXt',
    'tEXt',
    '\0\0\0\0',
  ],
  webp: [
    'RIFF',
    'WEBP',
    'VP8 ',
    'VP8L',
    'VP8X',
    'ANIM',
    'ANMF',
    'ALPH',
    'EXIF',
    'ICCP',
    'XMP ',
    '\x9d\x01\x2a',
    '\x2f',
  ],
  gif: ['GIF87a', 'GIF89a', '\x21\xf9\x04', '\x21\xff\x0bNETSCAPE2.0\x03\x01', '\x2c', '\x21\xfe', ';'],
  avif: [
    ...[
      'ftypavif',
      'meta',
      'iinf',
      'infe',
      'iprp',
      'ipco',
      'ipma',
      'ispe',
      'pixi',
      'av1C',
      'irot',
      'imir',
      'clap',
      'iref',
    ],
    ...[
      'dimg',
      'auxl',
      'auxC',
      'grid',
      'iovl',
      'iden',
      'tmap',
      'pitm',
      'iloc',
      'idat',
      'mdat',
      '\0\0\0\x01',
      '\0\0\0\0',
    ],
  ],
  tiff: [
    'II*\0',
    'MM\0*',
    'II+\0',
    'MM\0+',
    '\x42\x01',
    '\x11\x01\x04\0',
    '\x44\x01',
    '\x15\x01',
    '\x03\x01\x03\0\x01\0\0\0\x07\0',
  ],
};

const LIMITS = { maxPixels: 50_000_000, maxDecodeSeconds: 20, maxDecodeBytes: 2 ** 30 };

let samples: Promise<readonly SampleImage[]> | undefined;

/** Made once for all targets. */
function sampleImages(): Promise<readonly SampleImage[]> {
  samples ??= Promise.all([madeImages(), foundImages(IMAGE_FOLDERS)]).then((lists) => lists.flat());
  return samples;
}

async function readHeader(bytes: Buffer): Promise<void> {
  const header = await readImageHeader(bytes, LIMITS);
  const { width, height, stored, orientation } = header;
  const sides = [width, height, stored.width, stored.height];
  check(
    sides.every((side) => Number.isSafeInteger(side) && side >= 1),
    'sides are whole numbers from 1',
  );
  check(width * height <= LIMITS.maxPixels, 'the limit for pixels holds');
  check(Number.isInteger(orientation) && orientation >= 1 && orientation <= 8, 'an orientation is 1 to 8');
  for (const fit of Object.keys(FITS) as Fit[]) {
    for (const scale of [0.05, 1, 20]) {
      const plan = planInput(header, { fit, size: 224, resize: 256, scale });
      const { resized, crop } = plan;
      const numbers = [resized.width, resized.height, crop.left, crop.top, crop.width, crop.height];
      check(
        numbers.every((number) => Number.isSafeInteger(number) && number >= 0),
        `${fit}: a plan is of whole numbers`,
      );
      check(
        crop.left + crop.width <= resized.width && crop.top + crop.height <= resized.height,
        `${fit}: what is cut lies inside of the photo`,
      );
      const costs = [inputDecodeCost(header, plan), photoDecodeCost(header)];
      check(
        costs.every(({ bytes: cost, seconds }) => cost >= 0 && seconds >= 0 && Number.isFinite(cost + seconds)),
        'a decode has a cost',
      );
    }
  }
}

/** The reader of one format. */
export const imageHeader = (format: ImageFormat): Target => ({
  async open() {
    const seeds = (await sampleImages()).filter((sample) => sample.format === format).map(({ bytes }) => bytes);
    return { seeds, words: WORDS[format], run: (bytes) => refusing(() => readHeader(bytes)) };
  },
});
