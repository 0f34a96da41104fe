/**
 * `npm run load:cache`: what an answer that is kept costs the server's own process, beside one that is computed: processor time a
 * request, for the classes of one photograph and for its heatmap as PNG. The client sends one question after the other, on
 * the same cores; its time is not counted.
 */
import { parseArgs } from 'node:util';
import { interruption, runCommand } from './command.js';
import { lightClient } from './light-client.js';
import { watch } from './observe.js';
import { OperatorError } from '../src/errors.js';
import { positive, whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import type { PreparedRequest } from './traffic.js';

const HELP = `npm run load:cache -- [options]
  --photos DIR     photographs; the one that is nearest to --kilobytes is sent (${SAMPLES})
  --kilobytes N    (100)
  --seconds S      seconds of each round (5)
  --rounds N       rounds, of which the median is shown (3)
`;

const QUESTIONS = [
  { name: 'classify', path: '/v1/classify', accept: 'application/json' },
  { name: 'heatmap, PNG', path: '/v1/heatmap?class=top', accept: 'image/png' },
] as const;

interface Row {
  readonly question: string;
  readonly from: 'cache' | 'network';
  /** One a round. */
  readonly ownMs: readonly number[];
  readonly perSecond: readonly number[];
}

const COLUMNS: readonly Column<Row>[] = [
  ['question', ({ question }) => question],
  ['answered by', ({ from }) => from],
  ["server's own process, processor ms a request", ({ ownMs }) => figure(median(ownMs))],
  ['at most', ({ ownMs }) => figure(Math.max(...ownMs))],
  ['answers/s of one client', ({ perSecond }) => figure(median(perSecond))],
];

async function measure(
  server: RunningServer,
  request: PreparedRequest,
  seconds: number,
  signal: AbortSignal,
): Promise<{ ownMs: number; perSecond: number }> {
  const client = lightClient(server.url);
  let sent = 0;
  try {
    // The first one is computed, and kept where there is a cache.
    await client.send(request);
    const { activity, startedAt, endedAt } = await watch(server, async () => {
      const end = performance.now() + 1000 * seconds;
      while (performance.now() < end) {
        signal.throwIfAborted();
        const status = await client.send(request);
        if (status !== 200) throw new OperatorError(`${request.path} was answered with ${status ?? 'nothing'}`);
        sent += 1;
      }
    });
    const measured = (endedAt - startedAt) / 1000;
    return { ownMs: (1000 * activity.ownCores * measured) / sent, perSecond: sent / measured };
  } finally {
    client.close();
  }
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      photos: { type: 'string', default: SAMPLES },
      kilobytes: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const [wanted, seconds] = [1000 * positive('--kilobytes')(values.kilobytes), positive('--seconds')(values.seconds)];
  const rounds = whole('--rounds', values.rounds);
  const signal = interruption();
  const distance = ({ length }: Uint8Array): number => Math.abs(length - wanted);
  const [photo] = (await readPhotos(values.photos)).sort((a, b) => distance(a.bytes) - distance(b.bytes));
  const { name, bytes } = photo!;
  const rows: Row[] = [];
  for (const from of ['cache', 'network'] as const) {
    const server = await startServer({ FULLCONV_RESPONSE_CACHE_MB: from === 'cache' ? '256' : '0' });
    try {
      for (const { name: question, path, accept } of QUESTIONS) {
        const request = { method: 'POST', path, headers: { accept }, body: Buffer.from(bytes) } as const;
        const measured = [];
        // The first one is not counted: V8 compiles what is called often.
        for (let round = 0; round <= rounds; round++) measured.push(await measure(server, request, seconds, signal));
        rows.push({
          question,
          from,
          ownMs: measured.slice(1).map(({ ownMs }) => ownMs),
          perSecond: measured.slice(1).map(({ perSecond }) => perSecond),
        });
      }
    } finally {
      await server.stop();
    }
  }
  const what = `${name}, ${(bytes.length / 1000).toFixed(0)} kB; ${rounds} rounds of ${seconds} s`;
  process.stdout.write(`${machineLine(await describeMachine())}; ${what}.\n\n${markdownTable(COLUMNS, rows)}`);
});
