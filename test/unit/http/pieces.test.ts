import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers/promises';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { sendPieces, streamOf, type Piece } from '../../../src/http/pieces.js';

const PIECE = 'x'.repeat(2 ** 15);

/** What became of an answer in pieces. */
interface Making {
  made: number;
  isEnded: boolean;
}

function* piecesOf(count: number, making: Making, piece: Piece = PIECE): Generator<Piece, void, void> {
  try {
    for (; making.made < count; making.made++) yield piece;
  } finally {
    making.isEnded = true;
  }
}

async function ask(count: number, piece?: Piece) {
  const making: Making = { made: 0, isEnded: false };
  const app = Fastify();
  app.get('/', (_, reply) => sendPieces(reply, piecesOf(count, making, piece), 0));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { making, app, port, close: () => app.close() };
}

/** Wait until it holds; the test's own time limit ends a wait for ever. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

async function request(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  return socket;
}

describe('an answer in pieces', () => {
  it('is sent as a whole if it is short', async () => {
    for (const [count, length] of [
      [0, 0],
      [1, PIECE.length],
    ] as const) {
      const { port, making, close } = await ask(count);
      const response = await fetch(`http://127.0.0.1:${port}/`);
      expect(response.headers.get('content-length')).toBe(String(length));
      expect((await response.text()).length).toBe(length);
      expect(making.isEnded).toBe(true);
      await close();
    }
  });

  it('is a stream if it is long, of text or of bytes', async () => {
    for (const piece of [PIECE, Buffer.from(PIECE)]) {
      const { port, making, close } = await ask(100, piece);
      const response = await fetch(`http://127.0.0.1:${port}/`);
      expect(response.headers.get('transfer-encoding')).toBe('chunked');
      expect((await response.text()).length).toBe(100 * PIECE.length);
      expect(making).toEqual({ made: 100, isEnded: true });
      await close();
    }
  });

  it('waits for a client that does not read, and ends when it leaves', async () => {
    const { port, making, close } = await ask(1_000_000);
    const socket = await request(port);
    socket.pause();
    let before = -1;
    // The kernel takes some megabytes.
    while (before !== making.made) {
      before = making.made;
      await setTimeout(200);
    }
    expect(making.made).toBeGreaterThan(2);
    expect(making.made).toBeLessThan(2000);
    expect(making.isEnded).toBe(false);
    socket.destroy();
    await until(() => making.isEnded);
    expect(making.made).toBeLessThan(2000);
    await close();
  });

  it('gives the event loop a turn before each piece', async () => {
    const making: Making = { made: 0, isEnded: false };
    const stream = streamOf(piecesOf(50, making));
    stream.resume();
    const over = once(stream, 'end');
    let [most, before, isOver] = [0, 0, false];
    void over.then(() => (isOver = true));
    while (!isOver) {
      await setImmediate();
      most = Math.max(most, making.made - before);
      before = making.made;
    }
    expect(making.made).toBe(50);
    expect(most).toBe(1);
  });
});
