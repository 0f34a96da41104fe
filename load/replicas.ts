/** `npm run load:replicas`: how many servers a rate and a latency want, by simulation. */
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { runCommand } from './command.js';
import { replicasFor, type Fleet } from './fleet.js';
import { positive, whole } from './options.js';
import { markdownTable, type Column } from './tables.js';

const HELP = `npm run load:replicas -- [options]
  --server N        images a second that one server answers at most, from npm run load (77.7)
  --workers N       workers of a server (2)
  --rates LIST      images a second of all clients (10,100,1000,10000)
  --p99 LIST        milliseconds that 99 of 100 answers may take (100,250,1000)
  --factor N        what p99 is of the simulated one, "p99 / bound" of npm run load (2)
  --most-load N     largest part of the workers' time that may be used: what is left is for peaks and for replicas that go (0.8)
`;

interface Row {
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly least: Fleet | undefined;
  readonly random: Fleet | undefined;
}

const told = (fleet: Fleet | undefined): string => (fleet === undefined ? 'none' : String(fleet.replicas));
const load = (fleet: Fleet | undefined): string => (fleet === undefined ? '' : `${Math.round(100 * fleet.load)} %`);

const COLUMNS: readonly Column<Row>[] = [
  ['images/s', ({ perSecond }) => String(perSecond)],
  ['p99 at most, ms', ({ p99Ms }) => String(p99Ms)],
  ['replicas, least connections', ({ least }) => told(least)],
  ['their load', ({ least }) => load(least)],
  ['simulated p99, ms', ({ least }) => least?.p99Ms.toFixed(0) ?? ''],
  ['replicas, any connection', ({ random }) => told(random)],
  ['their load', ({ random }) => load(random)],
];

await runCommand(() => {
  const { values } = parseArgs({
    options: {
      server: { type: 'string', default: '77.7' },
      workers: { type: 'string', default: '2' },
      rates: { type: 'string', default: '10,100,1000,10000' },
      p99: { type: 'string', default: '100,250,1000' },
      factor: { type: 'string', default: '2' },
      'most-load': { type: 'string', default: '0.8' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return Promise.resolve();
  }
  const workers = whole('--workers', values.workers);
  const serviceMs = (1000 * workers) / positive('--server')(values.server);
  const factor = positive('--factor')(values.factor);
  const mostLoad = positive('--most-load')(values['most-load']);
  if (mostLoad >= 1)
    throw new OperatorError(`--most-load ${mostLoad}: must be below 1; a queue of a full server has no end`);
  const rows = values.rates.split(',').flatMap((rate) =>
    values.p99.split(',').map((wanted): Row => {
      const [perSecond, p99Ms] = [positive('--rates')(rate), positive('--p99')(wanted)];
      const [least, random] = (['least', 'random'] as const).map((choice) =>
        replicasFor({ perSecond, p99Ms: p99Ms / factor, mostLoad }, { workers, serviceMs }, choice),
      );
      return { perSecond, p99Ms, least, random };
    }),
  );
  process.stdout.write(
    `One server: ${workers} workers, ${serviceMs.toFixed(1)} ms an image on each. Poisson arrivals.\n\n` +
      markdownTable(COLUMNS, rows),
  );
  return Promise.resolve();
});
