/**
 * The files of deploy/balancers in front of three servers on this machine: one is killed and one is stopped under load, and no request
 * is lost. Only the lines that name addresses are other ones. A balancer that is not installed is skipped with a notice.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMetrics } from '../../load/server-metrics.js';
import { startServer, type RunningServer } from '../../load/server-process.js';
import { until } from './kubernetes.js';
import { readPhotos, startLoad, type Photo } from './load.js';
import { PROJECT, environment } from './tools.js';

const MODEL = 'imagenet-efficientnet-lite0';
const FOLDERS = ['../shared/photos', 'test/fixtures/photos'].map((folder) => join(PROJECT, folder));
const SETTINGS = {
  FULLCONV_WORKERS: '1',
  FULLCONV_ENGINE: 'onnxruntime',
  FULLCONV_DEVICE: 'cpu',
  FULLCONV_DEADLINE_MS: '3500',
};
const ADDRESS = '127.0.0.1:18091';
const CLIENTS = 4;
/** Answers before the next thing happens. */
const ANSWERS = 150;

interface Kind {
  readonly name: string;
  /** The arguments that start it in the foreground on a file in a folder. */
  readonly args: (file: string, folder: string) => readonly string[];
  /** The delivered file with addresses of this machine. */
  readonly adapt: (text: string, servers: readonly string[], folder: string) => string;
}

const haproxy = (more: (text: string) => string = (text) => text): Kind => ({
  name: 'haproxy',
  args: (file) => ['-f', file, '-db'],
  adapt: (text, servers) =>
    more(text)
      .replace('bind :8080', `bind ${ADDRESS}`)
      .replace(/server-template .*/, servers.map((server, index) => `server server${index} ${server}`).join('\n  ')),
});

const nginx: Kind = {
  name: 'nginx',
  args: (file, folder) => ['-c', file, '-p', folder, '-g', 'daemon off;'],
  adapt: (text, servers, folder) => {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((use) => `${use}_temp_path ${folder};`);
    return `pid ${folder}/pid;\nerror_log ${folder}/log;\nuser root;\n${text}`
      .replace('http {', `http {\n  access_log off;\n  ${temporary.join(' ')}`)
      .replace('listen 8080', `listen ${ADDRESS}`)
      .replace(/ {4}server 127[^]*?(?= {4}keepalive)/, servers.map(nginxServer).join(''));
  },
};

function nginxServer(address: string): string {
  return `    server ${address} max_fails=1 fail_timeout=2s;\n`;
}

/** The lines of the file's last comment in the place of `balance leastconn`. */
function hashed(text: string): string {
  const lines = [...text.matchAll(/^# {3}((?:balance hash|hash-).*)$/gm)].map(([, line]) => `  ${line}`);
  expect(lines.length).toBe(3);
  return text.replace('  balance leastconn', lines.join('\n'));
}

const isThere = (name: string): boolean => {
  const found = spawnSync(name, ['-v'], { env: environment() }).status === 0;
  if (!found) process.stderr.write(`NOTICE: there is no ${name}; its test is skipped\n`);
  return found;
};
const [hasHaproxy, hasNginx] = [isThere('haproxy'), isThere('nginx')];

describe('in front of three servers', () => {
  let photos: Photo[] = [];
  let folder = '';
  const rows: string[] = [];

  beforeAll(async () => {
    photos = await readPhotos(FOLDERS.find(existsSync)!, MODEL);
    folder = await mkdtemp(join(tmpdir(), 'balancers-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    process.stdout.write(`\n${rows.join('\n')}\n`);
  });

  async function withBalancer(
    { name, args, adapt }: Kind,
    use: (url: string, servers: RunningServer[]) => Promise<void>,
  ): Promise<void> {
    const servers = await Promise.all([1, 2, 3].map(() => startServer(SETTINGS, PROJECT)));
    const left = [...servers];
    let balancer: ChildProcess | undefined;
    try {
      const file = join(folder, `${name}.conf`);
      const delivered = join(PROJECT, `deploy/balancers/${name === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'}`);
      const addresses = servers.map(({ url }) => new URL(url).host);
      await writeFile(file, adapt(await readFile(delivered, 'utf8'), addresses, folder));
      balancer = spawn(name, args(file, folder), { env: environment(), stdio: ['ignore', 'ignore', 'inherit'] });
      const url = `http://${ADDRESS}`;
      await until('an answer', () =>
        fetch(`${url}/readyz`).then(
          ({ ok }) => ok,
          () => false,
        ),
      );
      await use(url, left);
    } finally {
      balancer?.kill('SIGTERM');
      await Promise.all(left.map((server) => server.stop()));
    }
  }

  async function losesNothing(kind: Kind): Promise<void> {
    await withBalancer(kind, async (url, servers) => {
      const load = startLoad(url, photos, CLIENTS);
      const more = async (): Promise<void> => {
        const before = load.count();
        await until('more answers', () => Promise.resolve(load.count() >= before + ANSWERS));
      };
      try {
        await more();
        process.kill(servers.shift()!.pid, 'SIGKILL');
        await more();
        // Without a drain delay: it says 503 to what still comes.
        const stopped = servers.shift()!.stop();
        await more();
        await stopped;
      } finally {
        const { answers, faults } = await load.stop();
        rows.push(`| ${kind.name}: one of three servers killed, one stopped | ${answers} | ${faults.length} |`);
        expect(faults).toEqual([]);
      }
    });
  }

  it.skipIf(!hasHaproxy)('HAProxy loses nothing', () => losesNothing(haproxy()));
  it.skipIf(!hasNginx)('nginx loses nothing', () => losesNothing(nginx));

  it.skipIf(!hasHaproxy)("HAProxy's consistent hash sends a photograph to one server, and photographs to all", () =>
    withBalancer(haproxy(hashed), async (url, servers) => {
      const asked = async (): Promise<number[]> => Promise.all(servers.map((server) => classified(server.url)));
      for (let time = 0; time < 10; time++) {
        await (await fetch(`${url}/v1/classify`, { method: 'POST', body: photos[0]!.bytes })).text();
      }
      expect((await asked()).sort()).toEqual([0, 0, 10]);
      const load = startLoad(url, photos, 1);
      await until('many answers', () => Promise.resolve(load.count() >= photos.length));
      expect((await load.stop()).faults).toEqual([]);
      if (photos.length > 20) expect(Math.min(...(await asked()))).toBeGreaterThan(0);
    }),
  );
});

/** Questions that a server has answered. */
async function classified(url: string): Promise<number> {
  const series = (await readMetrics(url)).filter(
    ({ name, labels }) => name === 'fullconv_request_duration_seconds_count' && labels['route'] === '/v1/classify',
  );
  return series.reduce((sum, { value }) => sum + value, 0);
}
