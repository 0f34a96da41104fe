/**
 * ArrayBuffers used again: no zero-filling, no garbage. A batch's feeds travel to a worker and back by transfer, so the same
 * few buffers serve every batch; a request's body has its own until the answer has left (http/body.ts). The bytes kept are
 * bounded; the buffer that has lain longest is dropped first.
 */

export interface BufferPool {
  /** A buffer of at least `byteLength` bytes, at most twice that, of unknown content; the caller owns it. */
  acquire(byteLength: number): ArrayBuffer;
  /** Take back a buffer that nobody reads or writes any more. */
  recycle(buffer: ArrayBuffer): void;
}

export function createBufferPool(maxBytes: number): BufferPool {
  /** The longest unused first. */
  const free: ArrayBuffer[] = [];
  let freeBytes = 0;

  function take(index: number): ArrayBuffer {
    const buffer = free.splice(index, 1)[0]!;
    freeBytes -= buffer.byteLength;
    return buffer;
  }

  return {
    acquire(byteLength) {
      const index = free.findLastIndex(
        (buffer) => buffer.byteLength >= byteLength && buffer.byteLength <= 2 * byteLength,
      );
      return index < 0 ? new ArrayBuffer(byteLength) : take(index);
    },
    recycle(buffer) {
      // It would push out all others, and then itself.
      if (buffer.byteLength > maxBytes) return;
      free.push(buffer);
      freeBytes += buffer.byteLength;
      while (freeBytes > maxBytes) take(0);
    },
  };
}
