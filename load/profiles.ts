/**
 * `npm run load:profiles`: what the transform of an sRGB profile costs the decode of a photo, and what finding out that
 * it may be left out costs. Every photo of a folder whose profile is sRGB is decoded as a network's input with and
 * without its transform, one after the other, in each round. Processor time of all threads of this process, which does
 * nothing else.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { decodeInput } from '../src/images/decode.js';
import { readImageHeader, type ImageHeader } from '../src/images/image-header.js';
import { planInput } from '../src/maps/input-plan.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { median } from './statistics.js';
import { figure, markdownTable } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:profiles -- [options]
  --photos DIR    photographs, of which those with a profile of sRGB are measured (${SAMPLES})
  --rounds N      (20)
  --output NAME   also write load/results/NAME.md
`;
const BACKGROUND = { r: 255, g: 255, b: 255 };
const STEPS = {
  transformed: 'decoded with the transform',
  leftOut: 'decoded without it',
  header: 'the header read, its profile looked at',
} as const;

interface Photo {
  readonly bytes: Uint8Array;
  readonly header: ImageHeader;
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      photos: { type: 'string', default: SAMPLES },
      rounds: { type: 'string', default: '20' },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const rounds = whole('--rounds', values.rounds);
  const all = await Promise.all(
    (await readPhotos(values.photos)).map(async ({ bytes }) => ({ bytes, header: await headerOf(bytes) })),
  );
  const photos = all.filter(({ header }) => header.colours === 'srgb');
  if (photos.length === 0) throw new OperatorError(`--photos ${values.photos}: no photograph has a profile of sRGB`);
  const taken = await measure(photos, rounds);
  const table = markdownTable<keyof typeof taken>(
    [
      ['figure', (step) => STEPS[step]],
      ['CPU ms a photo', (step) => figure(median(taken[step]))],
      ['lowest', (step) => figure(Math.min(...taken[step]))],
      ['highest', (step) => figure(Math.max(...taken[step]))],
    ],
    ['transformed', 'leftOut', 'header'],
  );
  const machine = machineLine(await describeMachine());
  const text = `${machine}; ${photos.length} of ${all.length} photographs, medians of ${rounds} rounds.\n\n${table}`;
  process.stdout.write(text);
  if (values.output !== undefined) await writeFile(join(RESULTS, `${values.output}.md`), `# sRGB profiles\n\n${text}`);
});

/** Milliseconds of a photo, one for each round. */
async function measure(
  photos: readonly Photo[],
  rounds: number,
): Promise<Readonly<Record<keyof typeof STEPS, readonly number[]>>> {
  const signal = interruption();
  const taken = { transformed: [] as number[], leftOut: [] as number[], header: [] as number[] };
  // The first round warms up.
  for (let round = 0; round <= rounds && !signal.aborted; round++) {
    const each = async (work: (photo: Photo) => Promise<unknown>): Promise<number> => {
      const start = process.cpuUsage();
      for (const photo of photos) await work(photo);
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000 / photos.length;
    };
    const transformed = await each(({ bytes, header }) => decode(bytes, { ...header, colours: 'profile' }));
    const leftOut = await each(({ bytes, header }) => decode(bytes, header));
    const header = await each(({ bytes }) => headerOf(bytes));
    if (round === 0) continue;
    taken.transformed.push(transformed);
    taken.leftOut.push(leftOut);
    taken.header.push(header);
  }
  return taken;
}

function headerOf(bytes: Uint8Array): Promise<ImageHeader> {
  return readImageHeader(bytes, { maxPixels: Infinity });
}

function decode(bytes: Uint8Array, header: ImageHeader): Promise<Uint8Array> {
  const input = planInput(header, { fit: 'crop', size: 224, resize: 256, scale: 1 });
  return decodeInput({ photo: { bytes, header }, input, interpolation: 'bilinear', background: BACKGROUND });
}
