/**
 * A pool of ArrayBuffers for reuse: no zero-filling, no garbage. A batch's feeds travel to a worker thread and back by
 * transfer, so the same few buffers serve every batch. The pool keeps a bounded number of bytes and drops the buffer that
 * has been free longest first.
 */

export interface BufferPool {
  /** A buffer of at least `byteLength` bytes, at most twice that, of unknown content; the caller owns it. */
  acquire(byteLength: number): ArrayBuffer;
  /** Take back a buffer that nobody reads or writes any more. */
  recycle(buffer: ArrayBuffer): void;
}

export function createBufferPool(maxBytes: number): BufferPool {
  /** The buffer that has been free longest comes first. */
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
      // It would evict all other buffers and then itself.
      if (buffer.byteLength > maxBytes) return;
      free.push(buffer);
      freeBytes += buffer.byteLength;
      while (freeBytes > maxBytes) take(0);
    },
  };
}
