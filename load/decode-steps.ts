/**
 * `npm run load:decode-steps`: processor time that photographs of a folder take from encoded bytes to a network's input, step by
 * step, beside sharp as it is usually called, and beside Pillow where there is a Python that has it. A process for each of them,
 * which does nothing else; they work in turns, so that a machine that slows down slows all of them alike.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../src/errors.js';
import { readImageHeader } from '../src/images/image-header.js';
import { MALLOC, V8_FLAGS } from '../src/processes/child.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { mean, median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:decode-steps -- [options]
  --photos DIR    photographs (${SAMPLES})
  --rounds N      (20)
  --python FILE   a Python that has Pillow, which is measured too
  --before DIR    another checkout, built, of which the same is measured
  --output NAME   also write load/results/NAME.md
`;
const ROUND = fileURLToPath(new URL('./load-decode-round.js', import.meta.url));
const PILLOW = resolve('load/pillow_round.py');

/** The header alone; all pixels; the network's input: short side 256, bilinear, 224×224 pixels of its middle. */
export type Step = 'header' | 'photo' | 'input';
/** Milliseconds of processor time, of each photograph. */
export type Round = Readonly<Record<Step, readonly number[]>>;

interface Decoder {
  readonly name: string;
  readonly process: ChildProcess;
  readonly rounds: Round[];
  /** Resolves with the process's next line; undefined when it has ended. */
  readonly next: () => Promise<string | undefined>;
}

interface Row {
  readonly what: string;
  readonly step: Step;
  /** Indices of the photographs. */
  readonly of: readonly number[];
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      photos: { type: 'string', default: SAMPLES },
      rounds: { type: 'string', default: '20' },
      python: { type: 'string' },
      before: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const rounds = whole('--rounds', values.rounds);
  const rows = await rowsOf(values.photos);
  const fullconv = (name: string, file = ROUND): Decoder =>
    start(name, process.execPath, [...V8_FLAGS, file, 'fullconv', values.photos], MALLOC);
  const decoders = [
    ...(values.before === undefined ? [] : [fullconv('before', resolve(values.before, 'dist/load-decode-round.js'))]),
    fullconv('fullconv'),
    start('sharp', process.execPath, [ROUND, 'sharp', values.photos]),
    ...(values.python === undefined ? [] : [start('Pillow', values.python, [PILLOW, values.photos])]),
  ];
  try {
    await measure(decoders, rounds);
  } finally {
    for (const decoder of decoders) decoder.process.kill();
  }
  const table = markdownTable(
    [
      ['step', ({ what }) => what] satisfies Column<Row>,
      ['photographs', ({ of }) => String(of.length)] satisfies Column<Row>,
      ...decoders.map((decoder): Column<Row> => [decoder.name, (row) => figure(median(takenBy(decoder, row)))]),
      ...decoders.map((decoder): Column<Row> => [
        `${decoder.name}, lowest`,
        (row) => figure(Math.min(...takenBy(decoder, row))),
      ]),
    ],
    rows,
  );
  const machine = machineLine(await describeMachine());
  const text = `${machine}; processor ms a photograph, medians and lowest of ${rounds} rounds.\n\n${table}`;
  process.stdout.write(text);
  if (values.output !== undefined)
    await writeFile(join(RESULTS, `${values.output}.md`), `# Decoding, step by step\n\n${text}`);
});

async function rowsOf(folder: string): Promise<Row[]> {
  const photos = await readPhotos(folder);
  const headers = await Promise.all(photos.map(({ bytes }) => readImageHeader(bytes, { maxPixels: Infinity })));
  const all = headers.map((_, index) => index);
  const by = (isOne: (header: (typeof headers)[number]) => boolean): number[] =>
    all.filter((index) => isOne(headers[index]!));
  const rows: Row[] = [
    { what: 'the header', step: 'header', of: all },
    { what: 'all pixels', step: 'photo', of: all },
    { what: "a network's input", step: 'input', of: all },
    { what: '… without a profile', step: 'input', of: by(({ colours }) => colours === 'plain') },
    { what: '… with a profile of sRGB', step: 'input', of: by(({ colours }) => colours === 'srgb') },
    {
      what: '… with another profile',
      step: 'input',
      of: by(({ colours }) => colours === 'matrix' || colours === 'profile'),
    },
  ];
  return rows.filter(({ of }) => of.length > 0);
}

function start(name: string, file: string, args: readonly string[], environment = {}): Decoder {
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...environment, ...process.env },
  });
  // Its end is told by its output's.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  const lines: AsyncIterator<string, undefined> = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    process: child,
    rounds: [],
    next: async () => {
      child.stdin.write('\n');
      return (await lines.next()).value;
    },
  };
}

async function measure(decoders: readonly Decoder[], rounds: number): Promise<void> {
  const signal = interruption();
  // The first round warms up.
  for (let round = 0; round <= rounds && !signal.aborted; round++) {
    for (const { name, next, rounds: done } of decoders) {
      const line = await next();
      if (line === undefined) throw new OperatorError(`${name} ended early`);
      if (round > 0) done.push(JSON.parse(line) as Round);
    }
  }
}

/** Milliseconds of a photograph on average, one for each round. */
function takenBy({ rounds }: Decoder, { step, of }: Row): number[] {
  return rounds.map((round) => mean(of.map((index) => round[step][index]!)));
}
