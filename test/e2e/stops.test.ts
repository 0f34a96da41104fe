/** How the server ends: nothing accepted is lost, and no process stays, whatever the signal. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, startUnreadServer, type ServerProcess, type UnreadServer } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

/** Fastify gives up a hook, the stop too, after this time, unless it is told not to. */
const FASTIFYS_PATIENCE_MS = 10_000;

let models: string;
let photo: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  models = await writeTinyModels();
  photo = new Uint8Array(await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url)));
});
afterAll(() => rm(models, { recursive: true }));

const settings = (): Record<string, string> => ({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '2' });
/** The status of an answer that takes some time, or why there is none. */
const ask = ({ url }: Pick<UnreadServer, 'url'>): Promise<number | string> =>
  fetch(`${url}/v1/classify?scale=12`, { method: 'POST', body: photo }).then(
    ({ status }) => status,
    (error: unknown) => String((error as Error).cause),
  );

/** The state of a process, as `ps` shows it, and its parent; undefined when it has ended. */
function processState(pid: number | string): { readonly state: string; readonly parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; whoever has inherited it has not looked yet.
    return state === 'Z' ? undefined : { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && processState(name)?.parent === pid)
    .map(Number);

/** The processes that work for a server, which has drawn a picture before. */
async function workersOf(server: UnreadServer | ServerProcess): Promise<number[]> {
  const picture = await fetch(`${server.url}/v1/heatmap`, {
    method: 'POST',
    body: photo,
    headers: { accept: 'image/png' },
  });
  expect(picture.status).toBe(200);
  await picture.arrayBuffer();
  const pids = childrenOf(server.pid);
  // Two with engines, and one that draws.
  expect(pids).toHaveLength(3);
  return pids;
}

const allEnded = (pids: readonly number[]): Promise<void> =>
  expect.poll(() => pids.filter((pid) => processState(pid) !== undefined)).toEqual([]);

/** Ask for work, and wait until some of it is in flight. */
async function inFlight(server: UnreadServer | ServerProcess): Promise<{ readonly answers: ReturnType<typeof ask>[] }> {
  const answers = Array.from({ length: 8 }, () => ask(server));
  for (;;) {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    if (Number(/^fullconv_images_in_flight (\d+)/m.exec(text)?.[1]) > 0) return { answers };
  }
}

describe.runIf(process.platform === 'linux')('the server and the processes that work for it', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('end in order on %s', async (signal) => {
    const server = await startServer(settings());
    const workers = await workersOf(server);
    const { answers } = await inFlight(server);
    const ended = server.stop(signal);
    for (const outcome of await Promise.all(answers)) expect([200, 503]).toContain(outcome);
    expect(await ended).toBe(0);
    await allEnded(workers);
    expect(server.log.join('\n')).not.toContain('a worker died');
  });

  it('end in order when the whole group gets the signal twice, as from a terminal and a program in between', async () => {
    const server = await startUnreadServer({ ...process.env, ...settings() }, { detached: true });
    const workers = await workersOf(server);
    const { answers } = await inFlight(server);
    process.kill(-server.pid, 'SIGINT');
    process.kill(-server.pid, 'SIGINT');
    for (const outcome of await Promise.all(answers)) expect([200, 503]).toContain(outcome);
    expect(await server.ended).toBe(0);
    await allEnded(workers);
  });

  it('end at once on a second signal that comes later', async () => {
    const server = await startServer({ ...settings(), FULLCONV_DRAIN_DELAY_MS: '600000' });
    const workers = await workersOf(server);
    void server.stop();
    await sleep(1100);
    expect(await server.stop()).toBe('SIGKILL');
    await allEnded(workers);
  });

  it('end when the server is killed', async () => {
    const server = await startServer(settings());
    const workers = await workersOf(server);
    const { answers } = await inFlight(server);
    expect(await server.stop('SIGKILL')).toBe('SIGKILL');
    await Promise.all(answers);
    await allEnded(workers);
  });

  it('end when a worker does not, some time after the drain timeout', async () => {
    const server = await startServer({ ...settings(), FULLCONV_DRAIN_TIMEOUT_MS: '100' });
    const workers = await workersOf(server);
    process.kill(workers[0]!, 'SIGSTOP');
    expect(await server.stop()).toBe(1);
    process.kill(workers[0]!, 'SIGCONT');
    await allEnded(workers);
  });

  it('end by themselves, with 0, on a signal during the start', async () => {
    const before = new Set(childrenOf(process.pid));
    const starting = startServer(settings());
    starting.catch(() => undefined);
    let pid: number | undefined;
    await expect.poll(() => (pid = childrenOf(process.pid).find((child) => !before.has(child)))).toBeDefined();
    await expect.poll(() => childrenOf(pid!).length).toBeGreaterThan(0);
    const workers = childrenOf(pid!);
    process.kill(pid!, 'SIGTERM');
    await expect(starting).rejects.toThrow(/^ended with 0: [^]*"msg":"stopped before it was ready"/);
    await allEnded(workers);
  });
});

describe('a fault of the program itself', () => {
  /** A server that does this on SIGUSR2. */
  const faulty = (code: string): Promise<ServerProcess> => {
    const hook = `process.on('SIGUSR2',()=>{${code}})`;
    const options = `--import data:text/javascript,${encodeURIComponent(hook)}`;
    return startServer({ ...settings(), NODE_OPTIONS: options });
  };

  it('is logged when it is a failure that nobody waited for, and the server goes on', async () => {
    const server = await faulty("Promise.reject(new Error('unheard'))");
    process.kill(server.pid, 'SIGUSR2');
    await expect
      .poll(() => server.log.join('\n'))
      .toMatch(/"message":"unheard".*"msg":"a failure that nobody waited for"/);
    expect(await ask(server)).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it('drains the server when it is an exception that nobody caught', async () => {
    const server = await faulty("throw new Error('uncaught')");
    const { answers } = await inFlight(server);
    process.kill(server.pid, 'SIGUSR2');
    for (const outcome of await Promise.all(answers)) expect([200, 503]).toContain(outcome);
    expect(await server.ended).toBe(1);
    expect(server.log.join('\n')).toMatch(/"message":"uncaught".*"msg":"an exception that nobody caught: draining"/);
  });
});

it('waits longer for an answer in flight than Fastify would by itself', async () => {
  const server = await startServer(settings());
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
  const half = photo.length >> 1;
  socket.write(`POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Length: ${photo.length}\r\n\r\n`);
  socket.write(photo.subarray(0, half));
  await sleep(200);
  const ended = server.stop();
  await sleep(FASTIFYS_PATIENCE_MS + 1500);
  socket.write(photo.subarray(half));
  await once(socket, 'close');
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(await ended).toBe(0);
});
