import { readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

let models: string;
let grace: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  models = await writeTinyModels();
  grace = new Uint8Array(await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url)));
});
afterAll(() => rm(models, { recursive: true }));

const serve = (environment: Record<string, string> = {}): Promise<ServerProcess> =>
  startServer({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '2', ...environment });
const classify = ({ url }: ServerProcess, query = ''): Promise<Response> =>
  fetch(`${url}/v1/classify${query}`, { method: 'POST', body: grace });
const metric = async ({ url }: ServerProcess, pattern: RegExp): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
};

describe('the stop', () => {
  it('on SIGTERM answers what is in flight, refuses new work and ends with 0', async () => {
    const server = await serve();
    const inFlight = Array.from({ length: 40 }, () => classify(server, '?scale=12').then(({ status }) => status));
    while ((await metric(server, /^fullconv_images_in_flight (\d+)/gm)) === 0) await sleep(1);
    const ended = server.stop();
    const statuses = await Promise.all(inFlight.map((status) => status.catch(() => 0)));
    expect(await ended).toBe(0);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
    // 503: came while draining; 0: the connection came after the listener was closed.
    for (const status of statuses) expect([200, 503, 0]).toContain(status);
    expect(server.log.join('\n')).toContain('"msg":"stopped"');
  });

  it('is announced by readiness before work is refused, for the length of the drain delay', async () => {
    const server = await serve({ FULLCONV_DRAIN_DELAY_MS: '1000' });
    const ended = server.stop();
    while ((await fetch(`${server.url}/readyz`)).status === 200) await sleep(5);
    expect((await classify(server)).status).toBe(200);
    expect(await ended).toBe(0);
  });

  it('hangs up on a client that does not read its answer when the drain timeout has passed', async () => {
    const server = await serve({ FULLCONV_DRAIN_TIMEOUT_MS: '300' });
    const unread = await fetch(`${server.url}/v1/heatmap?fit=native&scale=4&render=overlay`, {
      method: 'POST',
      body: grace,
    });
    const unreadToo = await fetch(`${server.url}/v1/heatmap?fit=native&scale=4&render=overlay`, {
      method: 'POST',
      body: grace,
    });
    expect([unread.status, unreadToo.status]).toEqual([200, 200]);
    expect([0, 1]).toContain(await server.stop());
    expect(server.log.join('\n')).toContain('"msg":"stopped"');
  });
});

describe('overload', () => {
  it('sheds early with 503 and Retry-After, and answers the others', async () => {
    const server = await serve({ FULLCONV_MAX_QUEUE: '8' });
    const responses = await Promise.all(Array.from({ length: 60 }, () => classify(server, '?scale=6')));
    const shed = responses.filter(({ status }) => status === 503);
    expect(responses.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(8);
    expect(shed.length).toBeGreaterThan(0);
    for (const response of shed) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(await response.json()).toMatchObject({ code: 'QUEUE_FULL' });
    }
    expect((await classify(server)).status).toBe(200);
    expect(await metric(server, /^fullconv_images_in_flight (\d+)/gm)).toBe(0);
    expect(await server.stop()).toBe(0);
  });

  it('a request that cannot be answered by its deadline gets 504', async () => {
    const server = await serve({ FULLCONV_WORKERS: '1' });
    const busy = Array.from({ length: 12 }, () => classify(server, '?scale=12'));
    await sleep(20);
    const late = await classify(server, '?deadlineMs=5');
    expect(late.status).toBe(504);
    expect(await late.json()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    for (const response of await Promise.all(busy)) expect(response.status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it('a client that left costs no run', async () => {
    const server = await serve({ FULLCONV_WORKERS: '1', FULLCONV_MAX_BATCH: '1' });
    const busy = Array.from({ length: 6 }, () => classify(server, '?scale=12'));
    await sleep(50);
    const gone = Array.from({ length: 20 }, () => {
      const call = request(`${server.url}/v1/classify?scale=12`, { method: 'POST' });
      call.on('error', () => undefined);
      call.end(grace);
      return call;
    });
    await sleep(50);
    for (const call of gone) call.destroy();
    for (const response of await Promise.all(busy)) expect(response.status).toBe(200);
    while ((await metric(server, /^fullconv_images_in_flight (\d+)/gm)) > 0) await sleep(5);
    expect(await metric(server, /^fullconv_batch_size_sum\{.*\} (\d+)/gm)).toBeLessThan(6 + 20);
    expect(await server.stop()).toBe(0);
  });
});

describe('the start', () => {
  it.each([
    [{ PORT: 'eighty' }, /PORT=eighty/],
    [{ FULLCONV_WORKERS: '0' }, /FULLCONV_WORKERS=0/],
    [{ FULLCONV_WOKERS: '2' }, /FULLCONV_WOKERS is not a setting/],
    [{ FULLCONV_PROVIDERS: 'abacus' }, /FULLCONV_PROVIDERS=abacus.*cpu/],
    [{ FULLCONV_DEFAULT_MODEL: 'nothing' }, /nothing/],
  ])('fails with a message that names what is wrong: %o', async (environment, message) => {
    await expect(serve(environment as Record<string, string>)).rejects.toThrow(message);
  });
});
