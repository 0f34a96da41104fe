/**
 * Gives memory that is free back to the system, when nobody waits for anything. V8 frees the bytes of bodies and answers only when it
 * collects garbage, which a server without requests never does, and glibc keeps what was freed below a block that is in use.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadKoffi } from './koffi.js';

/** V8 frees the bytes of buffers in a thread of its own, when the collection is over. */
const SWEEP_MS = 200;

let collect: (() => void) | undefined;
let trim: ((pad: number) => number) | undefined;

/**
 * Collect JavaScript's garbage, and give the system back every page without a block in use. Holds the process up for as long as its
 * live data take to be marked, some 40 ms for the server's. Where koffi or glibc is missing only garbage is collected.
 */
export async function returnFreeMemory(): Promise<void> {
  collect ??= garbageCollector();
  trim ??= heapTrimmer();
  collect();
  await sleep(SWEEP_MS);
  trim(0);
}

/** Node has no other way to ask for it than a flag. It shows in contexts that are made later. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** glibc's `int malloc_trim(size_t pad)`. */
function heapTrimmer(): (pad: number) => number {
  try {
    return loadKoffi().load(null).func('int malloc_trim(size_t)') as (pad: number) => number;
  } catch {
    return () => 0;
  }
}

export interface IdleTask {
  /** Work once, when nothing has been under way for a moment: all calls until then together. */
  soon(): void;
  stop(): void;
}

/** Between two looks whether something is under way. */
const LOOK_MS = 1000;

/** `isIdle`: nothing is under way now. */
export function whenIdle(isIdle: () => boolean, work: () => Promise<void>): IdleTask {
  let timer: NodeJS.Timeout | undefined;
  let wasIdle = false;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  const look = (): void => {
    if (wasIdle && isIdle()) {
      stop();
      void work();
    } else {
      wasIdle = isIdle();
    }
  };
  return {
    soon() {
      wasIdle = false;
      timer ??= setInterval(look, LOOK_MS).unref();
    },
    stop,
  };
}
