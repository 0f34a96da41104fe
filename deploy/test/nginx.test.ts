/**
 * Two servers of this machine behind nginx with deploy/balancers/nginx.conf: each is restarted, and killed, under load. It needs nginx
 * alone, and no cluster.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './kubernetes.js';
import { readPhotos, startLoad, type Photo } from './load.js';
import { PROJECT, environment } from './tools.js';

const MODEL = 'imagenet-efficientnet-lite0';
const FOLDERS = ['../shared/photos', 'test/fixtures/photos'].map((folder) => join(PROJECT, folder));
/** In the file, and here. */
const PORTS: Readonly<Record<string, number>> = { '8080': 18_080, '8081': 18_081, '8082': 18_082 };
const SERVERS = [18_081, 18_082];
const CLIENTS = 4;
/** Before the next server goes: nginx leaves one alone for `fail_timeout` after a failure, and would have none. */
const LEFT_ALONE_MS = 3000;

const isThere = spawnSync('nginx', ['-v'], { env: environment() }).status === 0;
if (!isThere) process.stderr.write('NOTICE: the test of nginx is skipped: there is no nginx\n');

describe.skipIf(!isThere)('behind nginx', () => {
  const servers = new Map<number, ChildProcess>();
  let photos: Photo[] = [];
  let folder = '';
  let nginx: ChildProcess | undefined;
  const rows: string[] = [];

  const answers = (port: number): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  async function start(port: number): Promise<void> {
    const settings = { FULLCONV_WORKERS: '1', FULLCONV_ENGINE: 'onnxruntime', FULLCONV_DEVICE: 'cpu' };
    // nginx says who asks. Without this all of its requests are one client's.
    const behind = { FULLCONV_TRUSTED_PROXIES: '127.0.0.1', FULLCONV_DRAIN_DELAY_MS: '1000' };
    const server = spawn(process.execPath, ['dist/cli/fullconv.cjs', 'serve'], {
      cwd: PROJECT,
      env: { ...process.env, HOST: '127.0.0.1', PORT: String(port), ...settings, ...behind },
      stdio: 'ignore',
    });
    servers.set(port, server);
    await until(`the server at ${port} is ready`, () => answers(port));
  }
  async function end(port: number, signal: NodeJS.Signals): Promise<void> {
    const server = servers.get(port)!;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
  }

  beforeAll(async () => {
    photos = await readPhotos(FOLDERS.find(existsSync)!, MODEL);
    folder = await mkdtemp(join(tmpdir(), 'fullconv-nginx-'));
    const text = await readFile(join(PROJECT, 'deploy/balancers/nginx.conf'), 'utf8');
    const ours = text.replace(
      /(listen |127\.0\.0\.1:)(808\d)/g,
      (_, before: string, port: string) => `${before}${PORTS[port]}`,
    );
    const file = join(folder, 'nginx.conf');
    await writeFile(file, ours.replace('http {', 'http {\n  access_log off;'));
    await Promise.all(SERVERS.map(start));
    nginx = spawn('nginx', ['-p', folder, '-e', 'stderr', '-c', file, '-g', `daemon off; pid ${folder}/pid;`], {
      env: environment(),
      stdio: 'inherit',
    });
    await until('nginx answers', () => answers(PORTS['8080']!));
  });

  afterAll(async () => {
    nginx?.kill();
    for (const server of servers.values()) server.kill();
    await rm(folder, { recursive: true });
    process.stdout.write(`\n${['| what | answers | lost or wrong | p99 | longest |', ...rows].join('\n')}\n`);
  });

  it.each([
    ['restarts each server twice', 'SIGTERM' as const],
    ['outlives the death of each server, twice', 'SIGKILL' as const],
  ])('%s, and loses no answer', async (what, signal) => {
    const load = startLoad(`http://127.0.0.1:${PORTS['8080']}`, photos, CLIENTS);
    for (const port of [...SERVERS, ...SERVERS]) {
      const before = load.count();
      await until('answers', () => Promise.resolve(load.count() > before + 50));
      await sleep(LEFT_ALONE_MS);
      await end(port, signal);
      await start(port);
    }
    const report = await load.stop();
    const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
    const times = [report.p99Ms, report.longestMs].map(seconds).join(' | ');
    rows.push(`| ${what} | ${report.answers.toLocaleString('en')} | ${report.faults.length} | ${times} |`);
    expect(report.faults.slice(0, 10)).toEqual([]);
  });
});
