/**
 * `npm run load:traces`: what traces cost. Servers of one checkout, or of two, are up together and asked in turns: without traces,
 * and with some and all requests sampled, their spans sent to a collector that discards them. Prints the processor time that a
 * request takes of the server's own process, which waits for no other program.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { closedLoop } from './closed-loop.js';
import { interruption, runCommand } from './command.js';
import { positive, whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { markdownTable, type Column } from './tables.js';
import { trafficOf } from './traffic.js';

const HELP = `npm run load:traces -- [BEFORE] [options]
  BEFORE         a checkout to compare with, its packages installed and built
  --model NAME   a model (tinyimagenet-resnet18-w32)
  --clients N    clients of the closed loop (4)
  --seconds S    seconds of each measurement (5)
  --rounds N     rounds (9)
  --photos DIR   photographs to send (${SAMPLES})
`;

interface Measured {
  readonly name: string;
  readonly server: RunningServer;
  /** Processor microseconds of a request, in each round. */
  readonly microseconds: number[];
}

/** Takes spans and keeps none. */
async function startCollector(): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const sampled = (url: string, ratio: number): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  OTEL_TRACES_SAMPLER_ARG: String(ratio),
});

const COLUMNS: readonly Column<Measured>[] = [
  ['server', ({ name }) => name],
  ['processor µs a request', ({ microseconds }) => median(microseconds).toFixed(0)],
];

await runCommand(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string', default: 'tinyimagenet-resnet18-w32' },
      clients: { type: 'string', default: '4' },
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '9' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const { model } = values;
  const [clients, rounds] = [whole('--clients', values.clients), whole('--rounds', values.rounds)];
  const seconds = positive('--seconds')(values.seconds);
  const signal = interruption();
  const traffic = trafficOf(
    [{ model, size: 'photos' }],
    'classify',
    new Map([['photos', await readPhotos(values.photos)]]),
  );
  const collector = await startCollector();
  const all: Measured[] = [];
  const start = async (name: string, environment: Record<string, string>, root = '.'): Promise<void> => {
    const settings = { FULLCONV_UNTRAINED: '', FULLCONV_DEFAULT_MODEL: '', FULLCONV_WORKERS: '1', ...environment };
    all.push({ name, server: await startServer(settings, root), microseconds: [] });
  };
  try {
    const [before] = positionals;
    if (before !== undefined) await start('before', {}, before);
    await start('without traces', {});
    await start('1 % sampled', sampled(collector.url, 0.01));
    await start('100 % sampled', sampled(collector.url, 1));
    const [first] = all;
    for (const { server } of all) await closedLoop(server, traffic, clients, seconds, signal);
    for (let round = 0; round < rounds; round++) {
      for (const { server, microseconds } of all) {
        const { ownCores, imagesPerSecond } = await closedLoop(server, traffic, clients, seconds, signal);
        microseconds.push((1e6 * ownCores) / imagesPerSecond);
      }
    }
    const more = ({ microseconds }: Measured): string =>
      median(microseconds.map((each, round) => each - first!.microseconds[round]!)).toFixed(0);
    process.stdout.write(
      `${machineLine(await describeMachine())}; ${model}, ${clients} clients; medians of ${rounds} rounds of ${seconds} s.\n\n` +
        markdownTable([...COLUMNS, [`more than ${first!.name}`, more]], all),
    );
  } finally {
    for (const { server } of all) await server.stop();
    collector.server.closeAllConnections();
    collector.server.close();
  }
});
