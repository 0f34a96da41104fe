/** What comes of origins that are slow, endless, wrong or hostile, and of names that lead elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../../../src/config.js';
import type { ServiceError } from '../../../../src/errors.js';
import { createBodyMemory } from '../../../../src/http/body-memory.js';
import { sourceOf } from '../../../../src/http/from-url/allowed-hosts.js';
import { fetchImage, type FetchOptions } from '../../../../src/http/from-url/fetch-image.js';
import type { Resolve } from '../../../../src/http/from-url/guarded-lookup.js';
import { startOrigin, type Origin } from '../../../support/origin.js';

const BYTES = Buffer.from('an image');

let origin: Origin;
beforeAll(async () => {
  origin = await startOrigin();
  origin.on('/ok', (response) => response.end(BYTES));
});
afterAll(() => origin.close());

/** Names lead to this machine. */
const here: Resolve = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]);

const settings = () =>
  readConfig({
    FULLCONV_URL_HOSTS: `public.example:${origin.port},127.0.0.1:${origin.port}`,
    FULLCONV_URL_PRIVATE_HOSTS: `private.example:${origin.port},other.example:${origin.port},[::1]:${origin.port}`,
  });

async function fetched(path: string, more: Partial<FetchOptions> = {}, host = 'private.example'): Promise<string> {
  const memory = createBodyMemory(1_000_000);
  const account = memory.account('a client');
  const hosts = settings();
  try {
    const bytes = await fetchImage(sourceOf(`http://${host}:${origin.port}${path}`, hosts), {
      ...{ hosts, resolve: here, account, maxBytes: 1000, timeoutMs: 3_600_000, minRate: 0, deadline: Infinity },
      signal: new AbortController().signal,
      ...more,
    });
    return bytes.toString();
  } catch (error) {
    const { code, message, errors = [], limit } = error as Partial<ServiceError>;
    expect(`${message}${errors.map(({ detail }) => detail).join()}`).not.toMatch(/127\.0|::1|169\.254|secret/);
    return [code, limit?.name, errors[0]?.parameter, message].filter((part) => part !== undefined).join(' ');
  } finally {
    account.release();
    expect(memory.held).toBe(0);
    await expect.poll(() => origin.open).toBe(0);
  }
}

it('an image comes, and the origin learns nothing of the client', async () => {
  expect(await fetched('/ok')).toBe('an image');
  const { headers } = origin.requests.at(-1)!;
  expect(Object.keys(headers).sort()).toEqual(['accept', 'accept-encoding', 'connection', 'host', 'user-agent']);
  expect(headers).toMatchObject({ accept: 'image/*', 'accept-encoding': 'identity', connection: 'close' });
  expect(headers['user-agent']).toMatch(/^fullconv\//);
});

describe('a name', () => {
  const leadsTo =
    (...addresses: string[]): Resolve =>
    () =>
      Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));

  it.each([
    ['127.0.0.1'],
    ['10.0.0.1'],
    ['100.64.0.1'],
    ['169.254.169.254'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
    ['2002:7f00:1::'],
    ['fe80::1%lo'],
    ['93.184.216.34', '127.0.0.1'],
    ['127.0.0.1', '93.184.216.34'],
    ['2606:2800:220:1:248:1893:25c8:1946', 'fd00::1'],
  ])('that is public is not asked at %s', async (...addresses) => {
    const before = origin.requests.length;
    const answer = await fetched('/ok', { resolve: leadsTo(...addresses) }, 'public.example');
    expect(answer).toBe('INVALID_REQUEST url No image is fetched from this URL.');
    expect(origin.requests.length).toBe(before);
  });

  it('that is private is not asked where a cloud tells its secrets', async () => {
    expect(await fetched('/ok', { resolve: leadsTo('169.254.169.254') })).toMatch(/^INVALID_REQUEST url/);
    expect(await fetched('/ok', { resolve: leadsTo('127.0.0.1', 'fe80::1') })).toMatch(/^INVALID_REQUEST url/);
  });

  it('is resolved once: where it leads a moment later does not matter', async () => {
    let asked = 0;
    const rebinding: Resolve = () => {
      asked += 1;
      return Promise.resolve([{ address: asked === 1 ? '127.0.0.1' : '169.254.169.254', family: 4 }]);
    };
    expect(await fetched('/ok', { resolve: rebinding })).toBe('an image');
    expect(asked).toBe(1);
    // Its redirect to itself is another connection, and another name.
    origin.on('/to-itself', (response) => response.writeHead(302, { location: '/ok' }).end());
    asked = 0;
    expect(await fetched('/to-itself', { resolve: rebinding })).toBe(
      'IMAGE_NOT_FETCHED The host of the URL redirects to where nothing is fetched from.',
    );
    expect(asked).toBe(2);
  });

  it('that is an address is never looked up, and must be public or in the settings as private', async () => {
    const never: Resolve = () => Promise.reject(new Error('looked up'));
    expect(await fetched('/ok', { resolve: never }, '127.0.0.1')).toMatch(/^INVALID_REQUEST url/);
    expect(await fetched('/ok', { resolve: never }, '[::1]')).toMatch(/^IMAGE_NOT_FETCHED .* cannot be reached/);
  });

  it('that nobody knows, or that leads nowhere, is no image', async () => {
    const unknown: Resolve = () => Promise.reject(Object.assign(new Error('secret'), { code: 'ENOTFOUND' }));
    expect(await fetched('/ok', { resolve: unknown })).toBe('IMAGE_NOT_FETCHED The host of the URL cannot be reached.');
    expect(await fetched('/ok', { resolve: leadsTo() })).toMatch(/^INVALID_REQUEST url/);
  });
});

describe('a redirect', () => {
  const redirect = (path: string, location: string | undefined, status = 302): void =>
    origin.on(path, (response) => response.writeHead(status, location === undefined ? {} : { location }).end());
  const NOWHERE = 'IMAGE_NOT_FETCHED The host of the URL redirects to where nothing is fetched from.';

  it.each([301, 302, 303, 307, 308])('with %i is followed to another host of the settings', async (status) => {
    redirect('/there', `http://other.example:${origin.port}/ok`, status);
    expect(await fetched('/there')).toBe('an image');
    expect(origin.requests.at(-1)!.headers.host).toBe(`other.example:${origin.port}`);
  });

  it('is followed three times', async () => {
    redirect('/3', '/ok');
    redirect('/2', '/3');
    redirect('/1', '/2');
    redirect('/0', '/1');
    redirect('/loop', '/loop');
    expect(await fetched('/1')).toBe('an image');
    expect(await fetched('/0')).toMatch(/^IMAGE_NOT_FETCHED .* redirects more than 3 times/);
    expect(await fetched('/loop')).toMatch(/^IMAGE_NOT_FETCHED .* redirects more than 3 times/);
  });

  it.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://evil.example/cat.jpg',
    'http://private.example/ok',
    'https://user:password@other.example/ok',
    'file:///etc/passwd',
    'ftp://other.example/ok',
    'data:image/png;base64,AAAA',
    'http://[::ffff:169.254.169.254]/',
    'http://',
  ])('to %s is not followed', async (location) => {
    redirect('/away', location);
    expect(await fetched('/away')).toBe(NOWHERE);
  });

  it('without an address is not followed', async () => {
    redirect('/nowhere', undefined);
    expect(await fetched('/nowhere')).toBe(NOWHERE);
  });
});

describe('an origin', () => {
  const raw = (path: string, text: string | Buffer): void => origin.on(path, (response) => response.socket!.end(text));

  it.each([
    [404, /answers 404/],
    [500, /answers 500/],
    [401, /answers 401/],
    [204, /answers 204/],
    [206, /answers 206/],
    [304, /answers 304/],
    [300, /answers 300/],
  ])('that answers %i has no image', async (status, why) => {
    origin.on('/status', (response) => response.writeHead(status, { 'www-authenticate': 'secret' }).end());
    const answer = await fetched('/status');
    expect(answer).toMatch(/^IMAGE_NOT_FETCHED/);
    expect(answer).toMatch(why);
  });

  it('that announces more bytes than may be is not read', async () => {
    origin.on('/large', (response) => {
      response.writeHead(200, { 'content-length': 1001 });
      response.flushHeaders();
    });
    expect(await fetched('/large')).toBe(
      'BODY_TOO_LARGE body_bytes The image has more than 1000 bytes, which is the limit.',
    );
  });

  it('that never ends is given up at the limit', async () => {
    origin.on('/endless', (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(500))) continue;
      };
      response.on('drain', more);
      more();
    });
    expect(await fetched('/endless')).toMatch(/^BODY_TOO_LARGE body_bytes/);
  });

  it('that says nothing, or goes on for too long, is given up in time', async () => {
    origin.on('/silent', () => undefined);
    origin.on('/slow', (response) => {
      const timer = setInterval(() => response.write('x'), 10);
      response.on('close', () => clearInterval(timer));
    });
    for (const path of ['/silent', '/slow']) {
      expect(await fetched(path, { timeoutMs: 100 })).toBe(
        'IMAGE_NOT_FETCHED request_time The host of the URL sends the image for longer than 100 ms.',
      );
      expect(await fetched(path, { deadline: performance.now() + 100 })).toMatch(/^DEADLINE_EXCEEDED/);
      expect(await fetched(path, { deadline: 0 })).toMatch(/^DEADLINE_EXCEEDED/);
    }
  });

  it('is hung up on when the client leaves', async () => {
    const client = new AbortController();
    origin.on('/waiting', (response) => {
      response.flushHeaders();
      client.abort(new Error('gone'));
    });
    expect(await fetched('/waiting', { signal: client.signal })).toContain('gone');
    expect(await fetched('/ok', { signal: AbortSignal.abort(new Error('gone before')) })).toContain('gone before');
  });

  it('that breaks off has no image', async () => {
    raw('/short', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort');
    raw('/cut', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n');
    raw('/wrong-chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nshort\r\n');
    for (const path of ['/short', '/cut', '/wrong-chunk']) expect(await fetched(path)).toMatch(/^IMAGE_NOT_FETCHED/);
  });

  it('that sends more than it says has said enough', async () => {
    raw('/long', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage, and what nobody asked for');
    expect(await fetched('/long')).toBe('image');
  });

  it('that speaks no HTTP, or too much of it, has no image', async () => {
    raw('/garbage', 'SSH-2.0-OpenSSH\r\n');
    raw('/headers', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    raw('/nothing', '');
    raw('/upgrade', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n');
    for (const path of ['/garbage', '/headers', '/nothing', '/upgrade']) {
      expect(await fetched(path), path).toMatch(/^IMAGE_NOT_FETCHED/);
    }
  });

  it('that sends no bytes, compressed ones, or countless chunks, has no image', async () => {
    origin.on('/empty', (response) => response.end());
    origin.on('/gzip', (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(BYTES));
    raw('/chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(20_000)}0\r\n\r\n`);
    expect(await fetched('/empty')).toMatch(/^IMAGE_NOT_FETCHED .* without an image/);
    expect(await fetched('/gzip')).toMatch(/^IMAGE_NOT_FETCHED .* compressed/);
    expect(await fetched('/chunks', { maxBytes: 100_000 })).toMatch(/^IMAGE_NOT_FETCHED .* too many chunks/);
  });

  it('whose bytes find no room in the client’s memory is hung up on', async () => {
    origin.on('/much', (response) => response.end(Buffer.alloc(500_000)));
    const memory = createBodyMemory(100_000);
    const account = memory.account('b');
    const answer = await fetched('/much', { account, maxBytes: 600_000 });
    expect(answer).toMatch(/^QUEUE_FULL bodies_bytes/);
    account.release();
  });
});

it('nothing is left behind', async () => {
  await sleep(1);
  expect(origin.open).toBe(0);
});
