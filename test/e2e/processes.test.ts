/** The border between processes, on a real server: what is loaded on which side, and what ends with whom. Linux only. */
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';

const photo = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));

const proc = (pid: number, file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');

async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(threads.map((thread) => proc(pid, `task/${thread}/children`)));
  return lists.flatMap((list) => list.split(' ').filter((text) => text.trim() !== '')).map(Number);
}

/** Native libraries that a process has loaded. */
async function nativeLibraries(pid: number): Promise<string[]> {
  const maps = await proc(pid, 'maps');
  return [...new Set(maps.match(/\S*(?:sharp|libvips|onnxruntime)\S*\.(?:node|so)\S*/g))];
}

const isAlive = async (pid: number): Promise<boolean> => (await proc(pid, 'stat')).length > 0;

describe.skipIf(process.platform !== 'linux')('the processes of a server', () => {
  let server: ServerProcess;
  beforeEach(async () => {
    server = await startServer({ FULLCONV_WORKERS: '2', FULLCONV_RENDERERS: '1', FULLCONV_LOG_LEVEL: 'info' });
  });
  afterEach(() => server.stop());

  const classify = async (): Promise<unknown> => {
    const response = await fetch(`${server.url}/v1/classify?topK=1`, { method: 'POST', body: photo });
    const { results } = (await response.json()) as { results: { predictions: { index: number }[] }[] };
    return results[0]!.predictions[0]!.index;
  };
  const draw = async (): Promise<Response> =>
    fetch(`${server.url}/v1/heatmap`, { method: 'POST', body: photo, headers: { accept: 'image/png' } });

  it('load libvips and the engine behind the border only', async () => {
    expect((await draw()).status).toBe(200);
    await classify();
    expect(await nativeLibraries(server.pid)).toEqual([]);
    const children = await childrenOf(server.pid);
    expect(children).toHaveLength(3);
    for (const pid of children) expect((await nativeLibraries(pid)).join(' ')).toMatch(/sharp/);
  });

  it('give large blocks back to the system, unless the operator sets otherwise', async () => {
    const settings = async (pid: number): Promise<string[]> =>
      (await proc(pid, 'environ')).split('\0').filter((line) => line.startsWith('MALLOC_'));
    for (const pid of await childrenOf(server.pid)) {
      expect((await settings(pid)).sort()).toEqual([
        'MALLOC_ARENA_MAX=2',
        'MALLOC_MMAP_THRESHOLD_=1048576',
        'MALLOC_TRIM_THRESHOLD_=1048576',
      ]);
    }
    const own = await startServer({ FULLCONV_WORKERS: '1', MALLOC_ARENA_MAX: '4' });
    try {
      for (const pid of await childrenOf(own.pid)) expect(await settings(pid)).toEqual(['MALLOC_ARENA_MAX=4']);
    } finally {
      await own.stop();
    }
  });

  it('ask the processor once what libvips may use of it', async () => {
    for (const pid of await childrenOf(server.pid))
      expect((await proc(pid, 'environ')).split('\0')).toContain('VIPS_VECTOR=0');
  });

  it('give back what a large map took', async () => {
    const residentMiB = async (): Promise<number> => {
      const statuses = await Promise.all((await childrenOf(server.pid)).map((pid) => proc(pid, 'status')));
      return statuses.reduce((sum, status) => sum + Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024, 0);
    };
    await classify();
    const before = await residentMiB();
    const map = await fetch(`${server.url}/v1/heatmap?size=1000`, { method: 'POST', body: photo });
    expect(map.status).toBe(200);
    await map.arrayBuffer();
    expect(await residentMiB()).toBeGreaterThan(before + 100);
    while ((await residentMiB()) > before + 50) await sleep(100);
    expect(await classify()).toBe(await classify());
  });

  it('may crash, one by one and all at once, while the server goes on answering', async () => {
    const expected = await classify();
    expect((await draw()).status).toBe(200);
    for (const signal of ['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGKILL'] as const) {
      const [first] = await childrenOf(server.pid);
      const asking = [classify(), classify(), classify()];
      process.kill(first!, signal);
      expect(await Promise.all(asking), signal).toEqual([expected, expected, expected]);
    }
    for (const pid of await childrenOf(server.pid)) process.kill(pid, 'SIGSEGV');
    expect(await classify()).toBe(expected);
    expect((await draw()).status).toBe(200);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(/^fullconv_workers_lost_total [5-9]$/m);
  });

  it('end when the server is killed', async () => {
    await draw();
    const children = await childrenOf(server.pid);
    expect(await server.stop('SIGKILL')).toBe('SIGKILL');
    while ((await Promise.all(children.map(isAlive))).includes(true)) await sleep(10);
  });

  it('end with the server, behind the answers that are on their way', async () => {
    const children = await childrenOf(server.pid);
    const answers = Array.from({ length: 8 }, draw);
    while (!/^fullconv_images_in_flight [1-9]/m.exec(await (await fetch(`${server.url}/metrics`)).text()))
      await sleep(1);
    const ended = server.stop();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
    expect(statuses).toContain(200);
    expect(await ended).toBe(0);
    expect((await Promise.all(children.map(isAlive))).includes(true)).toBe(false);
  });
});
