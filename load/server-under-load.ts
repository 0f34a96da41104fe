/** The real server as a process of its own, and autocannon against it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import type { ImageInput } from '../src/inference/infer.js';
import { requestOf, type MeasuredView } from './scenario.js';

/** Until every client has an answer behind it. */
const RAMP_S = 2;

export interface RunningServer {
  readonly url: string;
  readonly pid: number;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
}

/** Start `fullconv serve` on a free port and wait until it is ready. */
export async function startServer(untrained: readonly string[]): Promise<RunningServer> {
  const child = spawn(
    process.execPath,
    ['dist/cli/fullconv.cjs', 'serve', '--port', '0', '--untrained', untrained.join(',')],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FULLCONV_LOG_LEVEL: 'info' },
    },
  );
  const url = await Promise.race([readUrl(child), once(child, 'exit').then(() => undefined)]);
  if (url === undefined) throw new Error('the server did not start');
  return {
    url,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM');
      const [code] = (await once(child, 'exit')) as [number | null];
      return code;
    },
  };
}

async function readUrl(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout! });
  return new Promise((resolve) => {
    lines.on('line', (line) => {
      if (!line.startsWith('{')) return;
      const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
      if (msg === 'ready' && url !== undefined) resolve(url);
    });
  });
}

export interface LoadResult {
  readonly imagesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly meanBatch: number;
  readonly failures: number;
  /** Processor seconds of the server for each second, all cores together. */
  readonly cores: number;
  readonly residentMiB: number;
}

/** Closed loop: each of the clients sends the next photo when it has the answer. */
export async function loadServer(
  server: RunningServer,
  view: MeasuredView,
  model: string,
  photos: readonly ImageInput[],
  connections: number,
  seconds: number,
): Promise<LoadResult> {
  const { path, accept } = requestOf(view, model);
  const requests = photos.map(({ bytes }) => ({
    method: 'POST' as const,
    path,
    body: Buffer.from(bytes),
    headers: { 'content-type': 'application/octet-stream', accept },
  }));
  const counted = readAround(server, seconds);
  const result = await autocannon({
    url: server.url,
    connections,
    duration: Math.ceil(RAMP_S + seconds),
    requests,
    timeout: 60,
  });
  const { before, after, elapsedS } = await counted;
  const grown = (name: string, labels = ''): number => sumOf(after, name, labels) - sumOf(before, name, labels);
  return {
    imagesPerSecond:
      grown('fullconv_request_duration_seconds_count', `route="/v1/${view}",method="POST",status="200"`) / elapsedS,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    meanBatch: grown('fullconv_batch_size_sum') / grown('fullconv_batch_size_count'),
    failures: result.non2xx + result.errors,
    cores: grown('process_cpu_seconds_total') / elapsedS,
    residentMiB: sumOf(after, 'process_resident_memory_bytes') / 2 ** 20,
  };
}

/**
 * The server's own counts over the steady part of a run. Counting the client's answers from its start would miss those
 * in flight at both ends, which is a fifth of a short run with many clients and a slow net.
 */
async function readAround(
  server: RunningServer,
  seconds: number,
): Promise<{ before: Samples; after: Samples; elapsedS: number }> {
  await sleep(RAMP_S * 1000);
  const started = performance.now();
  const before = await readMetrics(server);
  await sleep(seconds * 1000);
  const after = await readMetrics(server);
  return { before, after, elapsedS: (performance.now() - started) / 1000 };
}

type Samples = readonly { name: string; labels: string; value: number }[];

async function readMetrics({ url }: RunningServer): Promise<Samples> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      return { name, labels, value: Number(value) };
    });
}

/** The sum over the series of a name whose labels contain a text. */
function sumOf(samples: Samples, name: string, labels = ''): number {
  return samples
    .filter((sample) => sample.name === name && sample.labels.includes(labels))
    .reduce((sum, { value }) => sum + value, 0);
}
