/** TLS by files: who is served, who is hung up on, and what becomes of a certificate that changes. */
import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:https';
import { connect as connectPlain, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkSettings } from '../../src/app.js';
import { readConfig } from '../../src/config.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { head } from '../support/raw-client.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));

let app: TestApp;
let port: number;
let adminPort: number;
let cert: string;
let key: string;
let photo: Buffer;
const lines: Record<string, unknown>[] = [];
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-tls-'));
  [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await copyFile(fixture('first.cert'), cert);
  await copyFile(fixture('first.key'), key);
  photo = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  const write = (text: string): unknown => lines.push(JSON.parse(text) as Record<string, unknown>);
  const settings = {
    FULLCONV_TLS_CERT: cert,
    FULLCONV_TLS_KEY: key,
    FULLCONV_ADMIN_PORT: '0',
    FULLCONV_MAX_CONNECTIONS: '8',
    FULLCONV_MAX_BYTES: '2000000',
    FULLCONV_WORKERS: '1',
  };
  app = await startTestApp(settings, undefined, { logger: pino({ level: 'info' }, { write }) });
  await app.listen({ host: '127.0.0.1', port: 0 });
  port = (app.http.server.address() as AddressInfo).port;
  adminPort = app.adminPort()!;
});
afterAll(() => app.close());

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(path: string, options: RequestOptions = {}, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false, ...options },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        answer.on('end', () => resolve({ status: answer.statusCode!, body: text }));
        answer.on('error', reject);
      },
    );
    asked.on('error', reject).end(body);
  });
}

async function shakeHands(options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

const nameOf = async (): Promise<string> => {
  const socket = await shakeHands();
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
};

const metric = async (name: string): Promise<number> => {
  const { body } = await app.http
    .inject('/metrics')
    .then(async ({ statusCode, body }) => (statusCode === 200 ? { body } : ask('/metrics', { port: adminPort })));
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1]);
};

describe('a server with a certificate', () => {
  it('answers over TLS, at both listeners, and classifies', async () => {
    expect(await ask('/livez')).toMatchObject({ status: 200 });
    expect(await ask('/metrics', { port: adminPort })).toMatchObject({ status: 200 });
    expect(await ask('/metrics')).toMatchObject({ status: 404 });
    const { status, body } = await ask('/v1/classify', { method: 'POST' }, photo);
    expect(status).toBe(200);
    expect(body).toContain('"predictions"');
  });

  it('speaks 1.2 and 1.3, and nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await shakeHands({ minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).toBe(version);
      socket.destroy();
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(shakeHands(old)).rejects.toThrow();
  });

  it('answers a refusal whole while its client still sends', async () => {
    const { status, body } = await ask('/v1/classify', { method: 'POST' }, Buffer.alloc(4_000_000));
    expect(status).toBe(413);
    expect(body).toContain('BODY_TOO_LARGE');
  });

  it('answers what is no HTTP inside of TLS', async () => {
    const socket = await shakeHands();
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    socket.write('nonsense\r\n\r\n');
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('answers a client that ends its direction', async () => {
    const socket = await shakeHands({ allowHalfOpen: true } as ConnectionOptions);
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    socket.end(head('POST /v1/classify', { 'Content-Length': photo.length }) + photo.toString('latin1'), 'latin1');
    await once(socket, 'end');
    expect(text).toMatch(/HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it.each([
    ['plain HTTP', head('GET /livez')],
    ['nonsense', 'nonsense\r\n\r\n'],
    ['bytes', '\x16\x03\x01\xff\xff' + '\0'.repeat(100)],
  ])('hangs up on %s', async (_, text) => {
    const before = await metric('fullconv_refused_total\\{limit="tls_handshake"\\}');
    const socket = connectPlain({ host: '127.0.0.1', port });
    let received = 0;
    socket.on('data', (chunk) => (received += chunk.length)).on('error', () => undefined);
    socket.write(text, 'latin1');
    if (text.includes('\0')) socket.end();
    await once(socket, 'close');
    // At most an alert of TLS.
    expect(received).toBeLessThan(20);
    await expect.poll(() => metric('fullconv_refused_total\\{limit="tls_handshake"\\}')).toBe(before + 1);
  });

  it.each([
    ['before', () => connectPlain({ host: '127.0.0.1', port }), 'connect'],
    ['before, at the other listener', () => connectPlain({ host: '127.0.0.1', port: adminPort }), 'connect'],
    ['within', () => connect({ host: '127.0.0.1', port, rejectUnauthorized: false }), 'secureConnect'],
  ])('forgets a client that leaves %s its handshake', async (_, open, event) => {
    const timedOut = () => metric('fullconv_refused_total\\{limit="tls_handshake"\\}');
    const before = await timedOut();
    for (let i = 0; i < 5; i++) {
      const socket = open();
      await once(socket, event);
      socket.destroy();
    }
    await expect.poll(() => metric('fullconv_connections')).toBeLessThanOrEqual(1);
    // At once, not when the time of their handshake is over.
    expect(await timedOut()).toBe(before);
  });

  it('counts connections before they shake hands, and lets no more of them in', async () => {
    await expect.poll(() => metric('fullconv_connections')).toBeLessThanOrEqual(1);
    const silent = Array.from({ length: 8 }, () => connectPlain({ host: '127.0.0.1', port }));
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    await expect.poll(() => metric('fullconv_connections')).toBeGreaterThanOrEqual(8);
    await expect(ask('/livez')).rejects.toThrow();
    for (const socket of silent) socket.destroy();
    await expect
      .poll(() =>
        ask('/livez').then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });
});

describe('the files', () => {
  it('that change are in force a moment later, and for connections that are open nothing changes', async () => {
    const open = await shakeHands();
    expect(await nameOf()).toBe('first.test');
    await copyFile(fixture('second.key'), key);
    await copyFile(fixture('second.cert'), cert);
    await expect.poll(nameOf).toBe('second.test');
    let text = '';
    open.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    open.write(head('GET /livez'));
    await expect.poll(() => text).toContain('200 OK');
    open.destroy();
  });

  it('that are broken leave the last good ones, and are told of', async () => {
    await writeFile(cert, 'no certificate');
    await expect.poll(() => metric('fullconv_tls_files_valid')).toBe(0);
    expect(await nameOf()).toBe('second.test');
    expect(lines.filter(({ level }) => level === 50).at(-1)).toMatchObject({
      msg: 'the new certificate is no good: the old one stays',
      reason: expect.stringContaining('no certificate and its key (') as string,
    });
    expect(JSON.stringify(lines)).not.toContain('PRIVATE');
    await copyFile(fixture('second.cert'), cert);
    await expect.poll(() => metric('fullconv_tls_files_valid')).toBe(1);
  });

  it.each([
    ['one without the other', { FULLCONV_TLS_CERT: fixture('first.cert') }, 'need each other'],
    [
      'no file',
      { FULLCONV_TLS_CERT: '/none', FULLCONV_TLS_KEY: fixture('first.key') },
      'FULLCONV_TLS_CERT=/none cannot be',
    ],
    [
      'two that do not fit',
      { FULLCONV_TLS_CERT: fixture('first.cert'), FULLCONV_TLS_KEY: fixture('second.key') },
      'no certificate and its key',
    ],
  ])('%s ends the start with a sentence', async (_, settings, reason) => {
    await expect(checkSettings(readConfig(settings))).rejects.toThrow(reason);
  });
});

it('ends with connections that have not shaken hands', async () => {
  const silent = connectPlain({ host: '127.0.0.1', port });
  await once(silent, 'connect');
  const busy = ask('/v1/classify?scale=4', { method: 'POST' }, photo);
  await expect.poll(() => metric('fullconv_images_in_flight')).toBeGreaterThanOrEqual(0);
  const closed = app.close();
  expect([200, 503]).toContain((await busy).status);
  await closed;
  silent.destroy();
  app = await startTestApp();
});
