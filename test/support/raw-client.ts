/** A client that speaks HTTP by hand, so that it can do what no client should. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawClient {
  readonly socket: Socket;
  /** What the server has sent so far. */
  readonly received: string;
  /** What became of the connection: the error's code, or undefined while there was none. */
  readonly error: string | undefined;
  readonly isClosed: boolean;
  /** Write all of it, waiting for the server to take it, as long as the connection lasts. */
  send(...pieces: readonly (string | Buffer)[]): Promise<void>;
  /** Resolves when something that the server has sent matches. Rejects if the connection ends before. */
  receive(pattern: RegExp): Promise<string>;
  /** Resolves to all that was received when the connection has ended. */
  ended(): Promise<string>;
}

/** Connect. `reads`: false for a client that takes nothing. `halfOpen`: it may end its direction and go on reading. */
export async function rawClient(
  url: string,
  { reads = true, halfOpen = false }: { readonly reads?: boolean; readonly halfOpen?: boolean } = {},
): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: halfOpen });
  let received = '';
  let error: string | undefined;
  const changed = (): boolean => socket.emit('changed');
  socket.on('error', ({ code }: NodeJS.ErrnoException) => (error = code));
  socket.on('close', changed);
  if (reads) {
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      changed();
    });
  } else {
    socket.pause();
  }
  await once(socket, 'connect');
  return {
    socket,
    get received() {
      return received;
    },
    get error() {
      return error;
    },
    get isClosed() {
      return socket.closed;
    },
    async send(...pieces) {
      for (const piece of pieces) {
        if (!socket.writable) return;
        await new Promise((resolve) => {
          socket.once('close', resolve);
          socket.write(piece, () => {
            socket.off('close', resolve);
            resolve(undefined);
          });
        });
      }
    },
    async receive(pattern) {
      for (;;) {
        const found = pattern.exec(received);
        if (found !== null) return found[0];
        if (socket.closed) throw new Error(`the connection ended (${error ?? 'no error'}) with ${received}`);
        await once(socket, 'changed');
      }
    },
    async ended() {
      while (!socket.closed) await once(socket, 'changed');
      return received;
    },
  };
}

/** The head of a request, with a body of this length if there is one. */
export function head(line: string, headers: Readonly<Record<string, string | number>> = {}): string {
  const lines = Object.entries({ Host: 'x', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return [`${line} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

/** Pieces of a chunked body. */
export function* chunked(pieces: Iterable<Buffer>): Generator<Buffer> {
  for (const piece of pieces)
    yield Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
}
