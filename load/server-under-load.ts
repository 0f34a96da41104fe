/** The real server as a process of its own, and autocannon against it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import autocannon from 'autocannon';
import type { ImageInput } from '../src/inference/infer.js';
import { requestOf, type MeasuredView } from './scenario.js';

export interface RunningServer {
  readonly url: string;
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
  const fire = (duration: number): Promise<autocannon.Result> =>
    autocannon({ url: server.url, connections, duration, requests, timeout: 60 });
  await fire(1);
  const before = await readMetrics(server);
  const started = performance.now();
  const result = await fire(Math.max(1, Math.round(seconds)));
  const elapsed = (performance.now() - started) / 1000;
  const after = await readMetrics(server);
  const grown = (name: string): number => sumOf(after, name) - sumOf(before, name);
  const answered = result['2xx'];
  return {
    imagesPerSecond: answered / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    meanBatch: grown('fullconv_batch_size_sum') / grown('fullconv_batch_size_count'),
    failures: result.non2xx + result.errors,
    cores: grown('process_cpu_seconds_total') / elapsed,
    residentMiB: sumOf(after, 'process_resident_memory_bytes') / 2 ** 20,
  };
}

type Samples = readonly { name: string; value: number }[];

async function readMetrics({ url }: RunningServer): Promise<Samples> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({
      name: /^[a-z0-9_]+/i.exec(line)?.[0] ?? '',
      value: Number(line.slice(line.lastIndexOf(' ') + 1)),
    }));
}

function sumOf(samples: Samples, name: string): number {
  return samples.filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0);
}
