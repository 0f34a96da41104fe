/**
 * `npm run load:traces`: what traces cost, in processor time, which waits for no other program. Servers of one checkout, or of two, are up
 * together and asked in turns: without traces, and with some and all requests sampled, their spans sent to a collector that discards
 * them. That is what a request takes of the server's own process, with all that varies in it. The calls alone, made in this process,
 * say what traces add on a machine that is never quiet.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startTracing } from '../src/tracing/open-telemetry.js';
import { readTraceSettings } from '../src/tracing/settings.js';
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
  --model NAME   a model (tinyimagenet-resnet18-w48)
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

/** Takes spans and keeps none, in a process of its own: what it costs is not the server's. */
const COLLECTOR = `
require('node:http')
  .createServer((request, response) => request.resume().on('end', () => response.end()))
  .listen(0, '127.0.0.1', function () { console.log(this.address().port); });
`;

async function startCollector(): Promise<{ readonly url: string; readonly stop: () => void }> {
  const child = spawn(process.execPath, ['-e', COLLECTOR], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: `http://127.0.0.1:${Number(String(port))}`, stop: () => child.kill() };
}

/** Requests of one measurement of the calls alone. */
const REQUESTS = 10_000;
const PHASES = ['body', 'queue', 'decode', 'run'] as const;
const RUN = {
  'fullconv.model': 'imagenet-efficientnet-lite0',
  'fullconv.view': 'classify',
  'fullconv.shape': 'image [224,224] classes []',
  'fullconv.batch.size': 3,
  'fullconv.batch.reason': 'idle',
  'fullconv.worker': 0,
  'fullconv.device': 'cpu',
};
const ANSWER = {
  'http.request.method': 'POST',
  'http.route': '/v1/classify',
  'http.response.status_code': 200,
  'url.path': '/v1/classify',
  'url.query': 'topK=3',
  'client.address': '192.0.2.1',
  'server.address': 'images.example',
  'user_agent.original': 'a browser',
  'fullconv.request.id': '385b69ef-2e9a-4042-96ee-647296084c3d',
  'fullconv.model': 'imagenet-efficientnet-lite0',
  'fullconv.images': 1,
  'fullconv.gmacs': 0.4,
};

/** Processor microseconds that the calls for one request take, its spans made, put into protobuf and sent. */
async function costOfCalls(environment: Record<string, string>): Promise<number> {
  Object.assign(process.env, environment, { OTEL_BSP_SCHEDULE_DELAY: '10', OTEL_BSP_MAX_QUEUE_SIZE: '65536' });
  const log = { info: () => undefined, warn: () => undefined };
  const tracing = await startTracing({ settings: readTraceSettings(process.env)!, version: '0', log });
  const before = process.cpuUsage();
  let made = 0;
  for (let request = 0; request < REQUESTS; request++) {
    const startMs = performance.now();
    const trace = tracing.begin({}, startMs);
    if (trace !== undefined) {
      for (const name of PHASES) trace.phase({ name, startMs, endMs: startMs, attributes: RUN });
      made += PHASES.length + 1;
      trace.end({ name: 'POST /v1/classify', endMs: startMs, attributes: ANSWER });
    }
    if (request % 100 === 0) await sleep(1);
  }
  while (tracing.spans.sent + tracing.spans.failed < made) await sleep(1);
  await tracing.close();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / REQUESTS;
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
      model: { type: 'string', default: 'tinyimagenet-resnet18-w48' },
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
    const calls: Record<string, number[]> = { '0.01': [], '1': [] };
    for (let round = 0; round < rounds; round++) {
      for (const [ratio, costs] of Object.entries(calls)) {
        costs.push(await costOfCalls(sampled(collector.url, Number(ratio))));
      }
    }
    for (const [ratio, costs] of Object.entries(calls)) {
      process.stdout.write(
        `The calls alone, ${Number(ratio) * 100} % sampled: ${median(costs).toFixed(1)} processor µs a request\n`,
      );
    }
  } finally {
    for (const { server } of all) await server.stop();
    collector.stop();
  }
});
