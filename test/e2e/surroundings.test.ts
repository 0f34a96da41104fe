/** What is around the server: the reader of its log, its user, its cache, the files it may open. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, constants, openSync, readSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENTRY } from '../support/command-line.js';
import { startServer, startUnreadServer, type UnreadServer } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

/** Their lines are more than what a pipe holds and what the log lets wait. */
const REQUESTS = 800;
const LONG_PATH = `/livez?${'x'.repeat(2000)}`;

let models: string;
let folder: string;
let photo: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  models = await writeTinyModels();
  folder = await mkdtemp(join(tmpdir(), 'fullconv-surroundings-'));
  photo = new Uint8Array(await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url)));
});
afterAll(async () => {
  await rm(models, { recursive: true });
  await rm(folder, { recursive: true });
});

const settings = (): Record<string, string> => ({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '1' });
const classify = async ({ url }: Pick<UnreadServer, 'url'>): Promise<number> =>
  (await fetch(`${url}/v1/classify`, { method: 'POST', body: photo })).status;

async function linesDropped({ url }: UnreadServer): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^fullconv_log_lines_dropped_total (\d+)$/m.exec(text)?.[1]);
}

async function askOften({ url }: UnreadServer): Promise<void> {
  const askInTurn = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time += 1) expect((await fetch(`${url}${LONG_PATH}`)).status).toBe(200);
  };
  await Promise.all(Array.from({ length: 8 }, () => askInTurn(REQUESTS / 8)));
}

describe('a server goes on, says how many lines are lost, and stops', () => {
  it('when the disk of its log is full', async () => {
    const full = openSync('/dev/full', 'w');
    const server = await startUnreadServer({ ...process.env, ...settings() }, { stdio: ['ignore', full, full] });
    await askOften(server);
    expect(await classify(server)).toBe(200);
    expect(await linesDropped(server)).toBeGreaterThan(0);
    expect(await server.stop()).toBe(0);
    closeSync(full);
  });

  it('when nobody reads the pipe of its log', async () => {
    const path = join(folder, 'unread');
    execFileSync('mkfifo', [path]);
    const pipe = openSync(path, constants.O_RDWR);
    const server = await startUnreadServer({ ...process.env, ...settings() }, { stdio: ['ignore', pipe, pipe] });
    await askOften(server);
    expect(await classify(server)).toBe(200);
    expect(await linesDropped(server)).toBeGreaterThan(0);
    expect(await server.stop()).toBe(0);
    closeSync(pipe);
  });

  it('when the reader of its log has gone', async () => {
    const path = join(folder, 'gone');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const pipe = openSync(path, constants.O_WRONLY);
    const server = await startUnreadServer({ ...process.env, ...settings() }, { stdio: ['ignore', pipe, pipe] });
    closeSync(pipe);
    readSync(reader, Buffer.alloc(1000));
    closeSync(reader);
    await askOften(server);
    expect(await classify(server)).toBe(200);
    expect(await linesDropped(server)).toBeGreaterThan(0);
    expect(await server.stop()).toBe(0);
  });
});

it('starts and answers where nothing can be kept, and names the setting', async () => {
  const cache = '/dev/null/cache';
  const server = await startServer({ ...settings(), FULLCONV_CACHE: cache });
  expect(
    server.log.filter((line) => line.includes(`FULLCONV_CACHE=${cache}: nothing can be kept there (ENOTDIR`)),
  ).toHaveLength(1);
  expect(await classify(server)).toBe(200);
  expect(await server.stop()).toBe(0);
});

it.runIf(process.getuid?.() === 0)('starts as a user whom the system does not know, without a home', async () => {
  chmodSync(models, 0o755);
  const server = await startUnreadServer(settings(), { uid: 54321, gid: 54321 });
  expect(await classify(server)).toBe(200);
  expect(await server.stop()).toBe(0);
});

describe.runIf(process.platform === 'linux')('where few files may be open', () => {
  const limited = (files: number): string[] => ['sh', '-c', `ulimit -n ${files}; exec "$@"`, 'sh'];

  it('closes connections beyond what the system lets it open, and serves the others', async () => {
    const server = await startUnreadServer({ ...process.env, ...settings() }, {}, limited(256));
    const port = Number(new URL(server.url).port);
    const held = await Promise.all(Array.from({ length: 300 }, () => connectOrNot(port)));
    const open = held.filter(({ destroyed }) => !destroyed);
    expect(open.length).toBeGreaterThan(100);
    expect(open.length).toBeLessThan(256);
    held.forEach((socket) => socket.destroy());
    await expect.poll(() => classify(server).catch(() => 'no connection')).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it('does not start with fewer than it needs, and says how many', () => {
    const [command, ...args] = [...limited(64), process.execPath, ENTRY, 'serve'];
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stderr).toBe('fullconv: only 64 files may be open at once (ulimit -n); at least 256 are needed\n');
  });
});

/** A connection, which the server may have closed. */
function connectOrNot(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (): void => resolve(socket);
    socket.on('error', () => undefined).once('close', end);
    setTimeout(end, 1000);
  });
}

it('says which settings name an address that it cannot have', () => {
  const { status, stderr } = spawnSync(process.execPath, [ENTRY, 'serve'], {
    env: {
      ...process.env,
      ...settings(),
      FULLCONV_DEVICE: 'cpu',
      FULLCONV_LOG_LEVEL: 'error',
      PORT: '0',
      HOST: '192.0.2.1',
    },
    encoding: 'utf8',
  });
  expect(status).toBe(3);
  expect(stderr).toMatch(/^fullconv: PORT=0 HOST=192\.0\.2\.1: listen EADDRNOTAVAIL: .*\n$/);
});
