import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { download, type Downloaded, type DownloadOptions, type Wanted } from '../../../src/models/pull/download.js';
import { COMMIT, digestOf, startHub, type Hub } from '../../support/hub.js';

const PATH = '/owner/net/resolve/main/model.safetensors';
const CONTENT = Buffer.from(Uint32Array.from({ length: 100_000 }, (_, index) => index * 2654435761).buffer);
const OTHER = Buffer.from(CONTENT).reverse();
const DIGEST = digestOf(CONTENT);

let hub: Hub;
let folder: string;
let file: string;
beforeEach(async () => {
  hub = await startHub({ [PATH]: CONTENT });
  folder = await mkdtemp(join(tmpdir(), 'fullconv-download-'));
  file = join(folder, 'model.safetensors');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  await rm(folder, { recursive: true });
});

function fetch(wanted: Partial<Wanted> = {}, options: DownloadOptions = {}): Promise<Downloaded> {
  let there = 0;
  hub.faults.arrived = async (bytes) => {
    while (there < bytes) await new Promise(setImmediate);
  };
  const onProgress = (done: number, total: number | undefined): void => {
    there = done;
    options.onProgress?.(done, total);
  };
  const url = new URL(hub.url + PATH);
  return download({ url, ...wanted }, file, { backoffMs: 1, stallMs: 20_000, ...options, onProgress });
}
/** A download that the connection's end stops after so many bytes. */
const cutAfter = async (bytes: number, options: DownloadOptions = {}): Promise<void> => {
  hub.faults.cuts = [bytes];
  await expect(fetch({}, { attempts: 1, ...options })).rejects.toThrow(/tried 1 times/);
};
const files = async (): Promise<string[]> => (await readdir(folder)).sort();

describe('a download', () => {
  it('follows the redirect, checks what the hub says of the file, and leaves nothing else', async () => {
    const steps: [number, number | undefined][] = [];
    const onProgress = (done: number, total: number | undefined): void => void steps.push([done, total]);
    expect(await fetch({}, { onProgress })).toEqual({
      sha256: DIGEST,
      size: CONTENT.length,
      verified: true,
      commit: COMMIT,
    });
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
    expect(await files()).toEqual(['model.safetensors']);
    expect(steps[0]).toEqual([0, CONTENT.length]);
    expect(steps.at(-1)).toEqual([CONTENT.length, CONTENT.length]);
  });

  it('goes on where the connection was cut, in the same call', async () => {
    hub.faults.cuts = [150_000, 100_000];
    const retries: string[] = [];
    await fetch({}, { onRetry: (reason) => retries.push(reason) });
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
    expect(retries).toHaveLength(2);
    expect(hub.sent).toBe(CONTENT.length);
    expect(hub.ranges()).toEqual([undefined, 'bytes=150000-', 'bytes=250000-']);
  });

  it('goes on with what an earlier call left, and asks whether it is still the same', async () => {
    await cutAfter(200_000);
    expect(await files()).toEqual(['model.safetensors.part', 'model.safetensors.part.json']);
    await fetch();
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
    expect(hub.sent).toBe(CONTENT.length);
    expect(hub.requests.at(-1)?.headers).toMatchObject({
      range: 'bytes=200000-',
      'if-range': `"content-${DIGEST.slice(0, 8)}"`,
    });
  });

  it.each([
    ['knows no ranges', { noRanges: true }, CONTENT],
    ['has another file by now', {}, OTHER],
    ['has another file by now, and does not compare', { etag: 'W/"weak"' }, OTHER],
  ])('starts again where the server %s', async (_, faults, content) => {
    hub.faults = { ...hub.faults, ...faults };
    await cutAfter(200_000);
    hub.files.set(PATH, content);
    await fetch();
    expect((await readFile(file)).equals(content)).toBe(true);
    expect(hub.ranges().slice(0, 2)).toEqual([undefined, 'bytes=200000-']);
  });

  it('starts again where nobody knows what the part is of', async () => {
    hub.faults = { ...hub.faults, plain: true, noRanges: true };
    await cutAfter(200_000);
    await fetch();
    expect(hub.requests.every(({ headers }) => headers.range === undefined)).toBe(true);
    await writeFile(`${file}.part`, 'anything');
    await writeFile(`${file}.part.json`, 'no JSON');
    await fetch();
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
  });

  it('starts again where the part was damaged', async () => {
    await cutAfter(200_000);
    await writeFile(`${file}.part`, Buffer.alloc(200_000));
    await fetch();
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
  });

  it('needs nothing more of a part that is whole', async () => {
    await cutAfter(200_000);
    await writeFile(`${file}.part`, CONTENT);
    hub.sent = 0;
    expect(await fetch()).toMatchObject({ sha256: DIGEST });
    expect(hub.sent).toBe(0);
  });

  it('takes a file that nobody vouches for, and says so', async () => {
    hub.faults.plain = true;
    expect(await fetch()).toMatchObject({ sha256: DIGEST, verified: false, commit: undefined });
  });
});

describe('a download that fails', () => {
  it.each([
    ['content with another digest', { sha256: 'a'.repeat(64) }, {}, /the sha256 is \w{64}, but must be a{64}$/],
    ['a file with another digest', {}, { sha256: 'b'.repeat(64) }, /the server's sha256 is \w{64}, but must be b{64}$/],
    ['a file of another size', { size: 7 }, {}, /the server's file has 400000 bytes, but must have 7$/],
    [
      'a file of another size than it must have',
      {},
      { size: 8 },
      /the server's file has 400000 bytes, but must have 8$/,
    ],
    ['a file that is not there', { statuses: [404] }, {}, /answers 404: the file does not exist$/],
    ['a file for others', { statuses: [401] }, {}, /answers 401: .*token \(HF_TOKEN\)$/],
    ['a redirect to nowhere', { location: 'ftp://x/' }, {}, /redirects to "ftp:\/\/x\/", which is not https$/],
    [
      'one with a signature, which it does not show',
      { location: 'ftp://x/y?signature=secret#part' },
      {},
      /redirects to "ftp:\/\/x\/y", which is not https$/,
    ],
  ])('refuses %s, at once, and keeps nothing', async (_, faults, wanted, message) => {
    hub.faults = { ...hub.faults, ...faults };
    await expect(fetch(wanted)).rejects.toThrow(message);
    expect(hub.requests.filter(({ server }) => server === 'hub')).toHaveLength(1);
    expect(await files()).toEqual([]);
  });

  it('refuses more bytes than are allowed', async () => {
    await expect(fetch({}, { maxBytes: 1000 })).rejects.toThrow(/has more than 1000 bytes/);
    expect(await files()).toEqual([]);
  });

  it('refuses a size for which the disk has no place', async () => {
    hub.faults = { ...hub.faults, size: 2 ** 49, chunked: true };
    await expect(fetch({}, { maxBytes: 2 ** 60 })).rejects.toThrow(
      /^\S+: \d+ bytes are needed, but only \d+ are free$/,
    );
  });

  it('tries again what may pass, and no more often than it should', async () => {
    hub.faults.statuses = [500, 503];
    expect(await fetch()).toMatchObject({ sha256: DIGEST });
    hub.faults.statuses = [500, 500, 500];
    await expect(fetch({}, { attempts: 3 })).rejects.toThrow(/answers 500; tried 3 times$/);
  });

  it('gives up a server that sends a little each time', async () => {
    hub.faults.cuts = Array<number>(20).fill(1000);
    await expect(fetch({}, { attempts: 3, allAttempts: 7 })).rejects.toThrow(/tried 7 times$/);
    expect(hub.ranges()).toHaveLength(7);
    hub.faults.cuts = [];
    await fetch();
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
  });

  it('waits as long as the server asks, and no longer than it says itself', async () => {
    hub.faults.statuses = [503];
    const waits: number[] = [];
    await fetch({}, { backoffMs: 3, onRetry: (_, waitMs) => waits.push(waitMs) });
    expect(waits).toEqual([3]);
  });

  it('goes on after a server that fell silent', async () => {
    hub.faults.stallAfter = 100_000;
    const onRetry = (): void => {
      delete hub.faults.stallAfter;
    };
    await fetch({}, { stallMs: 300, onRetry });
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
    expect(hub.sent).toBe(CONTENT.length);
  });

  it('ends with the signal, and keeps the part', async () => {
    const interruption = new AbortController();
    const onProgress = (done: number): void => {
      if (done > 100_000) interruption.abort(new Error('enough'));
    };
    hub.faults.slowMs = 5;
    await expect(fetch({}, { signal: interruption.signal, onProgress })).rejects.toThrow('enough');
    expect(await files()).toEqual(['model.safetensors.part', 'model.safetensors.part.json']);
    await fetch();
    expect((await readFile(file)).equals(CONTENT)).toBe(true);
  });

  it('takes content of unknown length, and notices when it ends too early', async () => {
    hub.faults = { ...hub.faults, chunked: true };
    expect(await fetch()).toMatchObject({ sha256: DIGEST });
    hub.faults.size = CONTENT.length + 1;
    await expect(fetch({}, { attempts: 1 })).rejects.toThrow(/ended after 400000 of 400001 bytes/);
  });

  it('says that there is no such host', async () => {
    await expect(fetch({ url: new URL('http://nowhere.invalid/x') })).rejects.toThrow(
      /^http:\/\/nowhere\.invalid cannot be reached: /,
    );
  });
});

describe('credentials', () => {
  it('go to the origin that was asked, and not where it redirects to', async () => {
    await fetch({}, { authorization: 'Bearer secret' });
    expect(hub.requests.map(({ server, headers }) => [server, headers.authorization])).toEqual([
      ['hub', 'Bearer secret'],
      ['content', undefined],
    ]);
  });
});

describe('a proxy', () => {
  it('in the environment is used, but for the hosts that are excepted', async () => {
    const asked: string[] = [];
    const sockets = new Set<Socket>();
    const proxy = createServer((client) => {
      sockets.add(client);
      client.once('data', (head) => {
        const target = /^CONNECT (\S+):(\d+)/.exec(head.toString());
        asked.push(target?.[0] ?? '');
        const server = connect(Number(target?.[2]), '127.0.0.1', () => {
          client.write('HTTP/1.1 200 OK\r\n\r\n');
          client.pipe(server).pipe(client);
        });
        server.on('error', () => client.destroy());
        client.on('error', () => server.destroy());
      });
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    const { port } = proxy.address() as { port: number };
    try {
      vi.stubEnv('http_proxy', `http://127.0.0.1:${port}`);
      vi.stubEnv('no_proxy', '');
      expect(await fetch()).toMatchObject({ sha256: DIGEST });
      expect(asked).toHaveLength(2);
      vi.stubEnv('no_proxy', '127.0.0.1');
      await rm(file);
      await fetch();
      expect(asked).toHaveLength(2);
    } finally {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    }
  });
});
