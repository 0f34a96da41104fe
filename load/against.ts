/**
 * `npm run load:against -- DIR`: this program beside another checkout of it, both servers up and asked in turns, so that a
 * machine that changes changes both alike: before and after, as a ratio in one run.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { closedLoop } from './closed-loop.js';
import { interruption, runCommand } from './command.js';
import type { LoadSample } from './observe.js';
import { openLoop } from './open-loop.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { trafficOf } from './traffic.js';

const HELP = `npm run load:against -- DIR [options]
  DIR            another checkout, with its packages installed and built
  --model NAME   a model, or an architecture to serve untrained (resnet18)
  --clients N    of the closed loop (32)
  --share PART   of what the other server reaches, offered in the open loop (0.7)
  --seconds S    for each measurement (4)
  --rounds N     (5)
  --photos DIR   photographs to send (${SAMPLES})
`;

interface Round {
  readonly closed: LoadSample;
  readonly open: LoadSample;
}

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
  const [folder, ...more] = positionals;
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if (folder === undefined || more.length > 0) throw new OperatorError(HELP.trimEnd());
  if (!existsSync(join(folder, 'dist/cli/fullconv.cjs')))
    throw new OperatorError(`${folder} is not built: npm run build`);
  const { clients, share, seconds, rounds } = values;
  await compare(folder, values.model, values.photos, {
    clients: Number(clients),
    share: Number(share),
    seconds: Number(seconds),
    rounds: Number(rounds),
  });
});

interface Settings {
  readonly clients: number;
  readonly share: number;
  readonly seconds: number;
  readonly rounds: number;
}

async function compare(folder: string, name: string, photos: string, settings: Settings): Promise<void> {
  const { clients, share, seconds, rounds } = settings;
  const model = servedName(name, 'fp32');
  const traffic = trafficOf([{ model, size: 'photos' }], 'classify', new Map([['photos', await readPhotos(photos)]]));
  const environment = { FULLCONV_UNTRAINED: architectureOf(model) ?? '', FULLCONV_DEFAULT_MODEL: '' };
  const signal = interruption();
  const servers: RunningServer[] = [];
  const results: [other: Round[], here: Round[]] = [[], []];
  try {
    for (const root of [folder, '.']) servers.push(await startServer(environment, root));
    let offered = NaN;
    // The first round warms up and finds the load.
    for (let round = 0; round <= rounds; round++) {
      for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        process.stderr.write(`round ${round}: ${which === 0 ? folder : 'here'}\n`);
        const closed = await closedLoop(servers[which]!, traffic, clients, seconds, signal);
        if (Number.isNaN(offered)) offered = share * closed.imagesPerSecond;
        const open = await openLoop(servers[which]!, traffic, { perSecond: offered, seconds, seed: round + 1 }, signal);
        if (round > 0) results[which].push({ closed, open });
      }
    }
    process.stdout.write(
      `${machineLine(await describeMachine())}; ${model}, ${clients} clients, then ${figure(offered)} images/s offered; ` +
        `medians of ${rounds} rounds of ${seconds} s.\n\n` +
        markdownTable(
          COLUMNS,
          FIGURES.map(([label, value]) => compareFigure(label, results, value)),
        ),
    );
  } finally {
    for (const server of servers) await server.stop();
  }
}

const FIGURES: readonly (readonly [label: string, value: (round: Round) => number])[] = [
  ['closed loop, images/s', ({ closed }) => closed.imagesPerSecond],
  ['closed loop, p99 ms', ({ closed }) => closed.p99Ms],
  ['closed loop, event loop late, p99 ms', ({ closed }) => closed.eventLoopP99Ms],
  ['open loop, p50 ms', ({ open }) => open.p50Ms],
  ['open loop, p99 ms', ({ open }) => open.p99Ms],
  ['mean batch, closed loop', ({ closed }) => closed.meanBatch],
];

interface Compared {
  readonly label: string;
  readonly other: number;
  readonly here: number;
  /** The median of the rounds' own. */
  readonly ratio: number;
}

function compareFigure(label: string, [others, heres]: readonly Round[][], value: (round: Round) => number): Compared {
  const ratios = heres!.map((round, index) => value(round) / value(others![index]!));
  return { label, other: median(others!.map(value)), here: median(heres!.map(value)), ratio: median(ratios) };
}

const COLUMNS: readonly Column<Compared>[] = [
  ['figure', ({ label }) => label],
  ['other', ({ other }) => figure(other)],
  ['here', ({ here }) => figure(here)],
  ['here / other', ({ ratio }) => ratio.toFixed(2)],
];
