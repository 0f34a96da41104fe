/**
 * A process that decodes photographs for decode-steps.ts. For each line that it reads it prints a line of JSON: milliseconds of
 * processor time for each step and photograph, of all its threads. `fullconv` decodes as the server does; `sharp` is the
 * chain that a handler is usually written with.
 */
import { createInterface } from 'node:readline';
import sharp from 'sharp';
import { decodeInput, decodePhoto } from '../src/images/decode.js';
import { readImageHeader } from '../src/images/image-header.js';
import { planInput } from '../src/maps/input-plan.js';
import { readPhotos } from './photos.js';
import type { Round, Step } from './decode-steps.js';

const [decoder, folder] = process.argv.slice(2) as ['fullconv' | 'sharp', string];
const background = { r: 255, g: 255, b: 255 };
// What decode.ts sets too, so that only the calls differ.
sharp.cache(false);
sharp.concurrency(1);

const photos = await Promise.all(
  (await readPhotos(folder)).map(async ({ bytes }) => {
    const header = await readImageHeader(bytes, { maxPixels: Infinity });
    return { bytes, header, input: planInput(header, { fit: 'crop', size: 224, resize: 256, scale: 1 }) };
  }),
);
type Photo = (typeof photos)[number];

const STEPS: Readonly<Record<typeof decoder, Readonly<Record<Step, (photo: Photo) => Promise<unknown>>>>> = {
  fullconv: {
    header: ({ bytes }) => readImageHeader(bytes, { maxPixels: Infinity }),
    photo: ({ bytes, header }) => decodePhoto(bytes, header, { background }),
    input: ({ bytes, header, input }) =>
      decodeInput({ photo: { bytes, header }, input, interpolation: 'bilinear', background }),
  },
  sharp: {
    header: ({ bytes }) => sharp(bytes).metadata(),
    photo: ({ bytes }) => sharp(bytes).rotate().flatten({ background }).toColourspace('srgb').raw().toBuffer(),
    input: ({ bytes, input: { resized, crop } }) =>
      sharp(bytes)
        .rotate()
        .resize({ ...resized, fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false })
        .extract({ left: crop.left, top: crop.top, width: crop.width, height: crop.height })
        .flatten({ background })
        .toColourspace('srgb')
        .raw()
        .toBuffer(),
  },
};

for await (const _ of createInterface({ input: process.stdin })) {
  const round: Partial<Record<Step, number[]>> = {};
  for (const [step, decode] of Object.entries(STEPS[decoder]) as [Step, (photo: Photo) => Promise<unknown>][]) {
    const taken: number[] = [];
    for (const photo of photos) {
      const start = process.cpuUsage();
      await decode(photo);
      const { user, system } = process.cpuUsage(start);
      taken.push((user + system) / 1000);
    }
    round[step] = taken;
  }
  process.stdout.write(`${JSON.stringify(round satisfies Partial<Round>)}\n`);
}
