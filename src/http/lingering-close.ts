/**
 * Closes connections so that the last answer arrives. A connection that is closed while its client still sends is reset, and
 * the reset overtakes the answer: a refusal becomes a broken pipe, and a proxy's 502. So the server ends its own direction
 * only, reads on and discards for a bounded while, and then lets go.
 *
 * Source: RFC 9112, section 9.6.
 */
import type { Socket } from 'node:net';

/** Longest time to read on. */
const LINGER_MS = 10_000;
/** Longest time in which the client sends nothing and does not close. */
const LINGER_IDLE_MS = 2000;

export interface LingeringClose {
  /** Close connections that are shut down by Node (after `Connection: close`, say) in this way, too. */
  adopt(socket: Socket): void;
  /** Begin to close; what has been written is still sent. `maxBytes`: most bytes to discard. */
  close(socket: Socket, maxBytes?: number): void;
  /** Whether a connection is being closed. */
  has(socket: Socket): boolean;
  /** Resolves when no connection is being closed. */
  settled(): Promise<void>;
}

/** `maxBytes`: the most bytes that a connection may send before it is reset all the same. */
export function createLingeringClose(maxBytes: number): LingeringClose {
  const closing = new Set<Socket>();

  function close(socket: Socket, most = maxBytes): void {
    if (closing.has(socket) || socket.destroyed) return;
    closing.add(socket);
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      closing.delete(socket);
    });
    socket.end();
    // In the next turn: until then Node itself makes the connection go on whose request it discards.
    setImmediate(() => discard(socket, most));
  }

  return {
    adopt(socket) {
      socket.destroySoon = () => close(socket);
    },
    close,
    has: (socket) => closing.has(socket),
    async settled() {
      while (closing.size > 0) {
        await Promise.all([...closing].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
      }
    },
  };
}

/** Take what comes past Node's parser, so that it is no request. */
function discard(socket: Socket, maxBytes: number): void {
  if (socket.destroyed) return;
  let left = maxBytes;
  socket.removeAllListeners('data').removeAllListeners('end').removeAllListeners('timeout');
  socket.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) socket.destroy();
  });
  // Both directions have ended: nothing is lost.
  socket.on('end', () => (socket.writableFinished ? socket.destroy() : socket.once('finish', () => socket.destroy())));
  socket.on('error', () => socket.destroy());
  socket.setTimeout(LINGER_IDLE_MS, () => socket.destroy());
  socket.resume();
}
