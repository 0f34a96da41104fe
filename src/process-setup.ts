/** What has to be settled before a process that decodes and computes loads anything else. */
import { setFlagsFromString } from 'node:v8';
import { coreCount } from './cores.js';

/**
 * libuv reads UV_THREADPOOL_SIZE when its first thread starts, which loading an ES module already does: to be called by
 * an entry that is CommonJS. sharp decodes on these threads.
 *
 * Photographs come and go outside of JavaScript's heap, where its collector counts them, but can only free them by marking
 * the heap. A heap as small as ours would be marked several times a second; it may grow by what V8 allows at most, four
 * times what is alive, before it is.
 */
export function setUpProcess(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * coreCount() + 2));
  setFlagsFromString('--heap-growing-percent=300');
}
