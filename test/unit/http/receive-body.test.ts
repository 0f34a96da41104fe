/** The pace of a body, by a clock of the test's own. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import { receiveBody, type ReceiveOptions } from '../../../src/http/receive-body.js';

let stream: PassThrough;
let refusals: string[];
let taken: number;

function receive(options: Partial<ReceiveOptions> = {}): Promise<string> {
  const request = Object.assign(stream, { headers: { 'transfer-encoding': 'chunked' }, socket: {} });
  const take = (chunk: Buffer): void => void (taken += chunk.length);
  return receiveBody(request as unknown as IncomingMessage, { headersSent: false } as unknown as ServerResponse, take, {
    maxBytes: 1_000_000,
    timeoutMs: 60_000,
    minRate: 1000,
    deadline: Infinity,
    onRefused: (refusal) => refusals.push(refusal),
    ...options,
  }).then(
    () => 'received',
    (error: unknown) => (error instanceof ServiceError ? error.code : (error as Error).name),
  );
}

/** Send so many bytes each second, for some seconds. */
async function send(bytesPerS: number, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    if (bytesPerS > 0) stream.write(Buffer.alloc(bytesPerS));
    await vi.advanceTimersByTimeAsync(1000);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  stream = new PassThrough();
  refusals = [];
  taken = 0;
});
afterEach(() => vi.useRealTimers());

describe('a body', () => {
  it('that comes at the least rate is received', async () => {
    const outcome = receive();
    await send(1001, 50);
    stream.end();
    expect(await outcome).toBe('received');
    expect(taken).toBe(50_050);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that comes slower is refused within two windows', async () => {
    const outcome = receive();
    await send(900, 20);
    expect(await outcome).toBe('REQUEST_TIMEOUT');
    expect(refusals).toEqual(['body_rate']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that stalls behind a fast beginning is refused', async () => {
    const outcome = receive();
    await send(500_000, 1);
    await send(0, 20);
    expect(await outcome).toBe('REQUEST_TIMEOUT');
    expect(refusals).toEqual(['body_rate']);
  });

  it('that is fast enough and too long in coming is refused', async () => {
    const outcome = receive();
    await send(2000, 60);
    expect(await outcome).toBe('REQUEST_TIMEOUT');
    expect(refusals).toEqual(['request_time']);
  });

  it('is not waited for beyond the deadline', async () => {
    const outcome = receive({ deadline: performance.now() + 3000 });
    await send(2000, 3);
    expect(await outcome).toBe('DEADLINE_EXCEEDED');
    expect(refusals).toEqual([]);
  });

  it('is discarded once it has been refused', async () => {
    const outcome = receive({ maxBytes: 3000 });
    await send(2000, 2);
    expect(await outcome).toBe('BODY_TOO_LARGE');
    expect(taken).toBe(2000);
    await send(100_000, 3);
    expect(stream.readableLength).toBe(0);
    expect(taken).toBe(2000);
  });

  it('whose client has left before is not waited for', async () => {
    stream.destroy();
    await vi.advanceTimersByTimeAsync(0);
    expect(await receive()).toBe('ClientGoneError');
  });

  it('whose client leaves is nobody’s', async () => {
    const outcome = receive();
    await send(2000, 2);
    stream.destroy();
    expect(await outcome).toBe('ClientGoneError');
  });
});
