/**
 * Memory that is on its way to another process, or that somebody there may be asked for again. Its owner may be done with it
 * before: then it is garbage that a socket still reads, and counts until the socket lets go. Hides who holds what; holders and
 * owners need not know of each other.
 */

interface Held {
  count: number;
  readonly whenFree: (() => void)[];
}

const held = new WeakMap<ArrayBufferLike, Held>();

/** Hold buffers, until the returned function is called. */
export function holdBuffers(buffers: Iterable<ArrayBufferLike>): () => void {
  const all = [...new Set(buffers)];
  for (const buffer of all) {
    const state = held.get(buffer) ?? { count: 0, whenFree: [] };
    state.count += 1;
    held.set(buffer, state);
  }
  let isOver = false;
  return () => {
    if (isOver) return;
    isOver = true;
    all.forEach(letGo);
  };
}

/** Call back when nobody holds a buffer: at once, if nobody does now. */
export function whenFree(buffer: ArrayBufferLike, callback: () => void): void {
  const state = held.get(buffer);
  if (state === undefined) callback();
  else state.whenFree.push(callback);
}

function letGo(buffer: ArrayBufferLike): void {
  const state = held.get(buffer)!;
  state.count -= 1;
  if (state.count > 0) return;
  held.delete(buffer);
  state.whenFree.forEach((callback) => callback());
}
