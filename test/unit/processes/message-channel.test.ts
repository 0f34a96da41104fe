import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whenFree } from '../../../src/in-transit.js';
import { openChannel, type MessageChannel } from '../../../src/processes/message-channel.js';
import { encodeMessage, MAX_HEADER_BYTES } from '../../../src/processes/message-codec.js';

const MIB = 2 ** 20;

interface End {
  readonly channel: MessageChannel<unknown>;
  readonly received: unknown[];
  /** Resolves when so many messages have come. */
  readonly until: (count: number) => Promise<unknown[]>;
  /** What it was told of the end. */
  readonly ended: Promise<Error | undefined>;
}

function open(stream: Duplex, maxBytes = Infinity): End {
  const received: unknown[] = [];
  let look = (): void => undefined;
  let end: (error?: Error) => void;
  const ended = new Promise<Error | undefined>((resolve) => (end = resolve));
  const channel = openChannel(stream, {
    onMessage(message) {
      received.push(message);
      look();
    },
    onEnd: (error) => end(error),
    maxBytes: () => maxBytes,
  });
  const until = (count: number): Promise<unknown[]> =>
    new Promise((resolve) => {
      look = () => received.length >= count && resolve(received);
      look();
    });
  return { channel, received, until, ended };
}

/** The bytes that a channel sends for a message. */
function bytesOf(message: unknown): Buffer {
  const { header, parts, partBytes } = encodeMessage(message);
  return Buffer.concat([prefix(header.length, partBytes), header, ...parts]);
}

function prefix(headerBytes: number, partBytes: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(headerBytes, 0);
  bytes.writeUInt32LE(partBytes, 4);
  return bytes;
}

let folder: string;
let server: Server;
let accepted: (socket: Socket) => void;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-channel-'));
  server = createServer((socket) => accepted(socket));
  server.listen(join(folder, 's'));
  await once(server, 'listening');
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

/** Two ends of a socket, as a child and its parent have them. */
async function socketPair(): Promise<[Socket, Socket]> {
  const other = new Promise<Socket>((resolve) => (accepted = resolve));
  return [connect(join(folder, 's')), await other];
}

describe('a channel', () => {
  /** Large arrays as their digests: comparing them value by value takes a minute. */
  const brief = (message: unknown): unknown =>
    JSON.stringify(message, (_, value: unknown) =>
      ArrayBuffer.isView(value)
        ? [value.constructor.name, createHash('sha1').update(new Uint8Array(value.buffer)).digest('hex')]
        : value,
    );

  it('delivers messages of any length in their order, in both directions at once', async () => {
    const [a, b] = (await socketPair()).map((socket) => open(socket)) as [End, End];
    const messages = [
      1,
      new Uint8Array(3 * MIB).fill(1),
      'small',
      { many: [0, 1, 2].map((n) => new Int32Array(200_000).fill(n)) },
      5,
    ];
    for (const message of messages) {
      void a.channel.send(message);
      void b.channel.send([message]);
    }
    expect((await b.until(5)).map(brief)).toEqual(messages.map(brief));
    expect((await a.until(5)).map(brief)).toEqual(messages.map((message) => brief([message])));
    a.channel.close();
    expect(await b.ended).toBeUndefined();
  });

  it('puts messages together whatever pieces they come in', async () => {
    const messages = [
      { n: 1 },
      new Float32Array(300).fill(0.5),
      [new Uint8Array(0), new Uint8Array(1000).fill(7)],
      'end',
    ];
    const bytes = Buffer.concat(messages.map(bytesOf));
    for (const size of [1, 7, 8, 9, 1000, bytes.length]) {
      const [near, far] = duplexPair();
      const { until, channel } = open(far);
      for (let at = 0; at < bytes.length; at += size) near.write(bytes.subarray(at, at + size));
      expect(await until(4)).toStrictEqual(messages);
      channel.close();
    }
  });

  it('handles no more than a few pieces of a long message in a turn of the loop', async () => {
    const [near, far] = await socketPair();
    const [a, b] = [open(near), open(far)];
    let pieces = 0;
    let largest = 0;
    let inTurn = 0;
    let mostInTurn = 0;
    far.prependListener('data', ({ length }: Buffer) => {
      pieces += 1;
      largest = Math.max(largest, length);
      inTurn += length;
      mostInTurn = Math.max(mostInTurn, inTurn);
    });
    let counting: NodeJS.Immediate;
    const beginTurn = (): void => {
      inTurn = 0;
      counting = setImmediate(beginTurn);
    };
    beginTurn();
    const values = new Float32Array(16 * MIB).fill(0.25);
    void a.channel.send({ values });
    const [message] = (await b.until(1)) as [{ values: Float32Array }];
    clearImmediate(counting!);
    expect(message.values.length).toBe(values.length);
    expect(brief(message)).toBe(brief({ values }));
    expect(pieces).toBeGreaterThan(500);
    expect(largest).toBeLessThanOrEqual(2 ** 16);
    expect(mostInTurn).toBeLessThanOrEqual(4 * MIB);
    a.channel.close();
  });

  it('delivers nothing, and keeps nobody waiting, when the other side goes in the middle of a message', async () => {
    const [near, far] = await socketPair();
    const [a, b] = [open(near), open(far)];
    const left = a.channel.send({ bytes: new Uint8Array(64 * MIB) });
    await once(far, 'data');
    b.channel.close();
    expect(await a.ended).toBeUndefined();
    await left;
    expect(b.received).toEqual([]);
    await a.channel.send('to nobody');
  });

  it('throws at once when something cannot be sent, and sends the next', async () => {
    const [near, far] = duplexPair();
    const [a, b] = [open(near), open(far)];
    expect(() => void a.channel.send(() => undefined)).toThrow(/could not be cloned/);
    void a.channel.send('next');
    expect(await b.until(1)).toEqual(['next']);
  });

  it.each([
    { what: 'no header', bytes: prefix(0, 0), error: /a header of 0 bytes/ },
    { what: 'a header that is too long', bytes: prefix(MAX_HEADER_BYTES + 1, 0), error: /a header of 4194305 bytes/ },
    { what: 'more than may come', bytes: prefix(10, 1001), error: /a message of 1001 bytes; the limit is 1000/ },
    { what: 'text', bytes: Buffer.from('A warning on the wrong file descriptor\n'), error: /a header of/ },
    {
      what: 'a header that is none',
      bytes: Buffer.concat([prefix(4, 0), Buffer.from('oops')]),
      error: /what is no message/,
    },
  ])('ends when it is sent $what', async ({ bytes, error }) => {
    const [near, far] = duplexPair();
    const b = open(far, 1000);
    near.write(bytesOf('before'));
    near.write(Buffer.concat([bytes, bytesOf('behind')]));
    expect((await b.ended)?.message).toMatch(error);
    near.write(bytesOf('later'));
    await turn();
    expect(b.received).toEqual(['before']);
    expect(far.destroyed).toBe(true);
  });
});

describe('the memory of a message', () => {
  /** A channel to somebody who reads when `read` is called, and what is known of an array that is sent to them. */
  async function sendLarge(settled?: Promise<void>) {
    const [near, far] = await socketPair();
    const { channel } = open(near);
    const large = new Uint8Array(20 * MIB);
    const left = channel.send({ large }, settled);
    let isFree = false;
    whenFree(large.buffer, () => (isFree = true));
    // The kernel has taken what it will.
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(isFree).toBe(false);
    return { near, far, left, isFree: () => isFree };
  }

  it('is held until it has left', async () => {
    const { near, far, left, isFree } = await sendLarge();
    far.resume();
    await left;
    await turn();
    expect(isFree()).toBe(true);
    near.destroy();
  });

  it('is held until it cannot leave any more', async () => {
    const { far, left, isFree } = await sendLarge();
    far.destroy();
    await left;
    await turn();
    expect(isFree()).toBe(true);
  });

  it('is held for as long as it may be sent again', async () => {
    let settle = (): void => undefined;
    const { near, far, left, isFree } = await sendLarge(new Promise((resolve) => (settle = resolve)));
    far.resume();
    await left;
    await turn();
    expect(isFree()).toBe(false);
    settle();
    await turn();
    expect(isFree()).toBe(true);
    near.destroy();
  });
});
