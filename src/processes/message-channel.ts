/**
 * Messages between two processes over one stream of bytes, the pair of sockets that a child is started with. They arrive in
 * the order in which they were sent, each when its last byte has come. Hides framing, back-pressure and hostile bytes.
 *
 * A message is a prefix (length of the header, length of all parts: uint32 each), a header, and parts (message-codec.ts).
 * Parts are written out of the sender's memory and read into the receiver's. The kernel gives and takes at most some hundred
 * kilobytes at a time, and the event loop has its turns in between, so a long message holds neither side's loop.
 *
 * This is not Node's IPC channel, which copies a message as a whole in one turn, and throws in the parent what a broken child
 * has written.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { holdBuffers } from '../in-transit.js';
import { decodeHeader, encodeMessage, MAX_HEADER_BYTES, type DecodedMessage } from './message-codec.js';

/** The file descriptor of the child's end. */
export const CHANNEL_FD = 3;

const PREFIX_BYTES = 8;

export interface ChannelOptions<Received> {
  readonly onMessage: (message: Received) => void;
  /** The other side is gone, or has sent what is no message: then `error` says what. Nothing is received any more. */
  readonly onEnd: (error?: Error) => void;
  /** The most bytes that the large arrays of the next message may have. */
  readonly maxBytes: () => number;
}

export interface MessageChannel<Sent> {
  /**
   * Send a message. Resolves when it has left, or cannot leave any more: the end tells. Until then nothing
   * may write to its large arrays, or transfer them. Their memory is held (in-transit.ts) until then, and until `settled`
   * resolves, if it is given. Throws if something in it cannot be cloned.
   */
  send(message: Sent, settled?: Promise<void>): Promise<void>;
  close(): void;
}

/** The channel to the process that has started this one. */
export function channelToParent<Sent, Received>(options: ChannelOptions<Received>): MessageChannel<Sent> {
  return openChannel(new Socket({ fd: CHANNEL_FD, readable: true, writable: true }), options);
}

export function openChannel<Sent, Received>(
  stream: Duplex,
  { onMessage, onEnd, maxBytes }: ChannelOptions<Received>,
): MessageChannel<Sent> {
  let isOver = false;
  const end = (error?: Error): void => {
    if (isOver) return;
    isOver = true;
    stream.destroy();
    onEnd(error);
  };
  const receiver = createReceiver(maxBytes, (message) => {
    if (!isOver) onMessage(message as Received);
  });
  stream.on('data', (chunk: Buffer) => {
    if (isOver) return;
    let error: Error | undefined;
    try {
      receiver.take(chunk);
    } catch (thrown) {
      if (!(thrown instanceof BrokenStreamError)) throw thrown;
      error = thrown;
    }
    if (error !== undefined) end(error);
  });
  // Of a stream that has just closed: 'close' follows.
  stream.on('error', () => undefined);
  stream.on('close', () => end());

  return {
    send(message, settled) {
      const { header, parts, partBytes } = encodeMessage(message);
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32LE(header.length, 0);
      prefix.writeUInt32LE(partBytes, 4);
      const letGo = holdBuffers(parts.map(({ buffer }) => buffer));
      const left = new Promise<void>((resolve) => {
        const pieces = [prefix, header, ...parts];
        const last = pieces.pop()!;
        stream.cork();
        for (const piece of pieces) stream.write(piece);
        stream.write(last, () => resolve());
        stream.uncork();
      });
      void Promise.all([left, settled]).then(letGo);
      return left;
    },
    close: () => end(),
  };
}

/** What came is not the bytes of a message. */
class BrokenStreamError extends Error {}

interface Receiver {
  /** Throws BrokenStreamError. */
  take(chunk: Uint8Array): void;
}

/** Puts messages together out of chunks of any lengths. */
function createReceiver(maxBytes: () => number, deliver: (message: unknown) => void): Receiver {
  /** What is being filled, and how far. */
  let target: Uint8Array = new Uint8Array(PREFIX_BYTES);
  let filled = 0;
  /** Called when the target is full. */
  let next: () => void = onPrefix;

  function fill(what: Uint8Array, andThen: () => void): void {
    target = what;
    filled = 0;
    next = andThen;
  }

  function onPrefix(): void {
    const view = new DataView(target.buffer, target.byteOffset);
    const headerBytes = view.getUint32(0, true);
    const partBytes = view.getUint32(4, true);
    if (headerBytes === 0 || headerBytes > MAX_HEADER_BYTES) {
      throw new BrokenStreamError(`it sent a message with a header of ${headerBytes} bytes`);
    }
    const limit = partBytes === 0 ? 0 : maxBytes();
    if (partBytes > limit)
      throw new BrokenStreamError(`it sent a message of ${partBytes} bytes; the limit is ${limit}`);
    fill(new Uint8Array(headerBytes), () => onHeader(partBytes));
  }

  function onHeader(partBytes: number): void {
    let decoded: DecodedMessage;
    try {
      decoded = decodeHeader(target, partBytes);
    } catch (error) {
      throw new BrokenStreamError(`it sent what is no message: ${(error as Error).message}`);
    }
    fillParts(decoded, 0);
  }

  function fillParts(decoded: DecodedMessage, position: number): void {
    const part = decoded.parts[position];
    if (part !== undefined) {
      fill(part, () => fillParts(decoded, position + 1));
      return;
    }
    fill(new Uint8Array(PREFIX_BYTES), onPrefix);
    deliver(decoded.message);
  }

  return {
    take(chunk) {
      for (let from = 0; from < chunk.length;) {
        const count = Math.min(target.length - filled, chunk.length - from);
        target.set(chunk.subarray(from, from + count), filled);
        filled += count;
        from += count;
        if (filled === target.length) next();
      }
    },
  };
}
