/**
 * `npm run load:allocators`: the memory of the server and the processes that work for it under several allocators, after
 * the same requests, in turns. The requests are of changing sizes: that is what leaves holes in a heap.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { Pool } from 'undici';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { peakOf, residentOf, startServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';

const HELP = `npm run load:allocators -- [options]
  --requests N   requests to each server in a round (600)
  --rounds N     rounds (3)
  --photos DIR   photographs to send (${SAMPLES})
`;
const CLIENTS = 8;
const REST_MS = 10_000;

const ALLOCATORS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'glibc, as it comes': { MALLOC_ARENA_MAX: '0' },
  'glibc, as the server sets it': {},
  jemalloc: { LD_PRELOAD: 'libjemalloc.so.2' },
};

interface Figures {
  readonly allocator: string;
  readonly requestsPerSecond: number;
  readonly peakMiB: number;
  /** Right after the last answer. */
  readonly afterMiB: number;
  readonly restedMiB: number;
}

interface Question {
  readonly path: string;
  readonly accept: string;
  readonly body: Uint8Array;
}

/** What is asked in turn: photographs and their pictures, larger inputs, and now and then a photo of 12 megapixels. */
async function questionsOf(folder: string): Promise<Question[]> {
  const photos = (await readPhotos(folder)).map(({ bytes }) => bytes);
  const large = await sharp(photos[0]).resize(4000, 3000, { fit: 'fill' }).jpeg().toBuffer();
  const json = 'application/json';
  const png = 'image/png';
  return photos.flatMap((body, index) => [
    { path: '/v1/classify', accept: json, body },
    { path: '/v1/heatmap', accept: png, body },
    { path: `/v1/heatmap?size=${224 + 32 * (index % 15)}`, accept: png, body },
    { path: '/v1/classify?scale=1,2', accept: json, body },
    ...(index % 4 === 0 ? [{ path: '/v1/classify', accept: json, body: large }] : []),
  ]);
}

async function measure(allocator: string, questions: readonly Question[], requests: number): Promise<Figures> {
  const server = await startServer(ALLOCATORS[allocator]!);
  const client = new Pool(server.url, { connections: CLIENTS });
  try {
    let next = 0;
    const started = performance.now();
    const askInTurn = async (): Promise<void> => {
      for (; next < requests;) {
        const { path, accept, body } = questions[next++ % questions.length]!;
        const answer = await client.request({ path, method: 'POST', headers: { accept }, body });
        await answer.body.arrayBuffer();
        if (answer.statusCode !== 200) throw new Error(`${path}: the server answered ${answer.statusCode}`);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, askInTurn));
    const seconds = (performance.now() - started) / 1000;
    const [peakMiB = 0, afterMiB = 0] = [await peakOf(server), await residentOf(server)];
    await sleep(REST_MS);
    const restedMiB = (await residentOf(server)) ?? 0;
    return { allocator, requestsPerSecond: requests / seconds, peakMiB, afterMiB, restedMiB };
  } finally {
    await client.destroy();
    await server.stop();
  }
}

const COLUMNS: readonly Column<Figures>[] = [
  ['allocator', ({ allocator }) => allocator],
  ['requests/s', ({ requestsPerSecond }) => figure(requestsPerSecond)],
  ['peak MiB', ({ peakMiB }) => peakMiB.toFixed(0)],
  ['resident MiB', ({ afterMiB }) => afterMiB.toFixed(0)],
  ['10 s later', ({ restedMiB }) => restedMiB.toFixed(0)],
];

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      requests: { type: 'string', default: '600' },
      rounds: { type: 'string', default: '3' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const requests = whole('--requests', values.requests);
  const rounds = whole('--rounds', values.rounds);
  const questions = await questionsOf(values.photos);
  const signal = interruption();
  const figures: Figures[] = [];
  for (let round = 1; round <= rounds && !signal.aborted; round++) {
    for (const allocator of Object.keys(ALLOCATORS)) {
      process.stderr.write(`round ${round} of ${rounds}: ${allocator}\n`);
      const measured = await measure(allocator, questions, requests);
      process.stderr.write(`${JSON.stringify(measured)}\n`);
      figures.push(measured);
    }
  }
  const rows = Object.keys(ALLOCATORS).map((allocator): Figures => {
    const own = figures.filter((each) => each.allocator === allocator);
    const of = (key: Exclude<keyof Figures, 'allocator'>): number => median(own.map((each) => each[key]));
    return {
      allocator,
      requestsPerSecond: of('requestsPerSecond'),
      peakMiB: of('peakMiB'),
      afterMiB: of('afterMiB'),
      restedMiB: of('restedMiB'),
    };
  });
  process.stdout.write(`${machineLine(await describeMachine())}\n\n${markdownTable(COLUMNS, rows)}`);
});
