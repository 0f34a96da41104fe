/**
 * `npm run load:against -- BEFORE`: compares two checkouts of this program in one run. Both servers are up and asked in
 * turns, so that a machine that changes changes both alike. Prints the ratios of after to before.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { closedLoop } from './closed-loop.js';
import { interruption, runCommand } from './command.js';
import type { LoadSample } from './observe.js';
import { openLoop, type OpenSample } from './open-loop.js';
import { positive, whole } from './options.js';
import { readPhotos } from './photos.js';
import { commitOf, describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { trafficOf, type Traffic } from './traffic.js';

const HELP = `npm run load:against -- BEFORE [AFTER] [options]
  BEFORE, AFTER  checkouts with their packages installed and built (AFTER: this one)
  --model NAME   a model, or an architecture to serve untrained (resnet18)
  --clients N    clients of the closed loop (32)
  --share PART   load of the open loop, as a part of what BEFORE reaches (0.7)
  --seconds S    seconds of each measurement (4)
  --rounds N     rounds (5)
  --photos DIR   photographs to send (${SAMPLES})
`;

type Pair<T> = readonly [before: T, after: T];

interface Sample {
  readonly closed: LoadSample;
  readonly open: OpenSample;
}

interface Settings {
  readonly clients: number;
  readonly share: number;
  readonly seconds: number;
  readonly rounds: number;
}

async function compare(folders: Pair<string>, name: string, photos: string, settings: Settings): Promise<void> {
  const model = servedName(name, 'fp32');
  const traffic = trafficOf([{ model, size: 'photos' }], 'classify', new Map([['photos', await readPhotos(photos)]]));
  const environment = { FULLCONV_UNTRAINED: architectureOf(model) ?? '', FULLCONV_DEFAULT_MODEL: '' };
  const signal = interruption();
  const servers: RunningServer[] = [];
  try {
    for (const folder of folders) servers.push(await startServer(environment, folder));
    const [before, after] = servers;
    const { offered, rounds } = await measureRounds([before!, after!], traffic, settings, signal);
    const { clients, seconds } = settings;
    const commits = await Promise.all(folders.map(commitOf));
    process.stdout.write(
      `${machineLine({ ...(await describeMachine()), commit: commits.join(' and ') })}; ${model}, ${clients} clients, ` +
        `then ${figure(offered)} images/s offered; medians of ${rounds.length} rounds of ${seconds} s.\n\n` +
        markdownTable(
          COLUMNS,
          FIGURES.map(([label, value]) => compareFigure(label, rounds, value)),
        ),
    );
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    for (const server of servers) await server.stop();
  }
}

async function measureRounds(
  servers: Pair<RunningServer>,
  traffic: Traffic,
  { clients, share, seconds, rounds: count }: Settings,
  signal: AbortSignal,
): Promise<{ offered: number; rounds: Pair<Sample>[] }> {
  const measure = async (server: RunningServer, offered: number | undefined, seed: number): Promise<Sample> => {
    const closed = await closedLoop(server, traffic, clients, seconds, signal);
    const perSecond = offered ?? share * closed.imagesPerSecond;
    return { closed, open: await openLoop(server, traffic, { perSecond, seconds, seed }, signal) };
  };
  process.stderr.write('warming up\n');
  const warm = await measure(servers[0], undefined, 0);
  await measure(servers[1], undefined, 0);
  if (warm.closed.imagesPerSecond === 0) throw new OperatorError('no image was answered: is there such a model?');
  const { offered } = warm.open;
  const rounds: Pair<Sample>[] = [];
  for (let round = 1; round <= count; round++) {
    process.stderr.write(`round ${round} of ${count}\n`);
    // The two servers take turns at being the first.
    if (round % 2 === 0) {
      const before = await measure(servers[0], offered, round);
      rounds.push([before, await measure(servers[1], offered, round)]);
    } else {
      const after = await measure(servers[1], offered, round);
      rounds.push([await measure(servers[0], offered, round), after]);
    }
  }
  return { offered, rounds };
}

const FIGURES: readonly (readonly [label: string, value: (sample: Sample) => number])[] = [
  ['closed loop, images/s', ({ closed }) => closed.imagesPerSecond],
  // It tells changes that the speed hides, on a machine that does other work too.
  ['closed loop, processor ms an image', ({ closed }) => (1000 * closed.cores) / closed.imagesPerSecond],
  ['closed loop, p99 ms', ({ closed }) => closed.p99Ms],
  ['closed loop, event loop late, p99 ms', ({ closed }) => closed.eventLoopP99Ms],
  ['open loop, p50 ms', ({ open }) => open.p50Ms],
  ['open loop, p99 ms', ({ open }) => open.p99Ms],
  ['mean batch, closed loop', ({ closed }) => closed.meanBatch],
  ['closed loop, peak memory MiB', ({ closed }) => closed.peakMiB ?? NaN],
  ['open loop, peak memory MiB', ({ open }) => open.peakMiB ?? NaN],
];

interface Compared {
  readonly label: string;
  readonly before: number;
  readonly after: number;
  /** The median of the rounds' own ratios. */
  readonly ratio: number;
}

function compareFigure(label: string, rounds: readonly Pair<Sample>[], value: (sample: Sample) => number): Compared {
  const of = (which: (round: Pair<Sample>) => number): number => median(rounds.map(which));
  return {
    label,
    before: of(([before]) => value(before)),
    after: of(([, after]) => value(after)),
    ratio: of(([before, after]) => value(after) / value(before)),
  };
}

const COLUMNS: readonly Column<Compared>[] = [
  ['figure', ({ label }) => label],
  ['before', ({ before }) => figure(before)],
  ['after', ({ after }) => figure(after)],
  ['after / before', ({ ratio }) => ratio.toFixed(2)],
];

await runCommand(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string', default: 'resnet18' },
      clients: { type: 'string', default: '32' },
      share: { type: 'string', default: '0.7' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '5' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  const [before, after = '.', ...more] = positionals;
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if (before === undefined || more.length > 0) throw new OperatorError(HELP.trimEnd());
  for (const folder of [before, after]) {
    if (!existsSync(join(folder, 'dist/cli/fullconv.cjs'))) throw new OperatorError(`${folder} is not built`);
  }
  await compare([before, after], values.model, values.photos, {
    clients: whole('--clients', values.clients),
    share: positive('--share')(values.share),
    seconds: positive('--seconds')(values.seconds),
    rounds: whole('--rounds', values.rounds),
  });
});
