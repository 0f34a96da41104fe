/** What people and attackers really send, against the whole server: the right answer or the right problem, and nobody else is disturbed. */
import { readFile, readdir, rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';
import { hasShared, shared } from '../support/shared.js';
import { writeTinyModels } from '../support/tiny-models.js';

/** The files that are refused, by status and code; every other one is answered. */
const REFUSED: Readonly<Record<string, [number, string]>> = {
  'logo.svg': [415, 'UNSUPPORTED_MEDIA_TYPE'],
  'truncated.jpg': [422, 'IMAGE_UNDECODABLE'],
  'truncated.png': [422, 'IMAGE_UNDECODABLE'],
  'corrupt-header.jpg': [422, 'IMAGE_UNDECODABLE'],
  'xs2n0g01.png': [415, 'UNSUPPORTED_MEDIA_TYPE'],
  'xc9n2c08.png': [422, 'IMAGE_UNDECODABLE'],
  'bomb-17000x17000.avif': [422, 'IMAGE_TOO_LARGE'],
  'bomb-20000x14000.jpg': [422, 'IMAGE_TOO_LARGE'],
  'bomb-65536x65536.png': [422, 'IMAGE_TOO_LARGE'],
};

describe.skipIf(!hasShared)('hard images', () => {
  let server: ServerProcess;
  let models: string;
  let grace: Uint8Array<ArrayBuffer>;
  beforeAll(async () => {
    models = await writeTinyModels();
    server = await startServer({ FULLCONV_MODELS: models });
    grace = new Uint8Array(await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url)));
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
    await rm(models, { recursive: true });
  });

  const post = (body: Uint8Array<ArrayBuffer>, route = 'classify', accept = '*/*'): Promise<Response> =>
    fetch(`${server.url}/v1/${route}`, { method: 'POST', body, headers: { accept } });
  const residentMiB = async (): Promise<number> => {
    const status = await readFile(`/proc/${server.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
  };

  interface Answered {
    readonly status: number;
    readonly ms: number;
  }
  const ask = async (): Promise<Answered> => {
    const start = performance.now();
    const response = await post(grace);
    await response.arrayBuffer();
    return { status: response.status, ms: performance.now() - start };
  };
  const slowest = (answers: readonly Answered[]): number => Math.max(...answers.map(({ ms }) => ms));

  it('get the right answer or the right problem, while a second client goes on undisturbed', async () => {
    const alone = await Promise.all([ask(), ask(), ask()]);
    const end = new AbortController();
    const second = (async () => {
      const answers: Answered[] = [];
      while (!end.signal.aborted) answers.push(await ask());
      return answers;
    })();
    const before = await residentMiB();
    for (const name of await readdir(shared('hard-images'))) {
      const bytes = new Uint8Array(await readFile(shared('hard-images', name)));
      for (const route of ['classify', 'heatmap']) {
        const response = await post(bytes, route);
        const [status, code] = REFUSED[name] ?? [200, undefined];
        const text = await response.text();
        expect(response.status, `${route} ${name}: ${text}`).toBe(status);
        if (code !== undefined) {
          expect(response.headers.get('content-type')).toBe('application/problem+json');
          expect(JSON.parse(text)).toMatchObject({ status, code });
        }
      }
    }
    end.abort();
    const answers = await second;
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // A busy machine makes all of them slow.
    expect(slowest(answers)).toBeLessThan(Math.max(2000, 20 * slowest(alone)));
    // The largest accepted photo has 1800×1200 pixels; a bomb would need hundreds of megabytes.
    expect((await residentMiB()) - before).toBeLessThan(150);
  });

  it('the photographs are all answered', async () => {
    const names = await readdir(shared('photos'));
    const statuses = await Promise.all(
      names.map(async (name) => (await post(new Uint8Array(await readFile(shared('photos', name))))).status),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
