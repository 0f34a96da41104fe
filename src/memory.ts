/**
 * The memory that this server's processes may take for what strangers ask: runs of the networks, with what they decode, and
 * drawings. All of it together is FULLCONV_MEMORY_MB. What takes much says how much before it begins, and waits until that is
 * free.
 *
 * Drawings have at most half of it, so that small runs always find some. A drawing that fits into that half has its turn when
 * the runs that are under way leave enough; no further run takes what it waits for.
 */
export interface Memory {
  /** All of it. */
  readonly bytes: number;
  /** The most that all drawings together take. */
  readonly drawingBytes: number;
  /** What runs may still take. */
  readonly freeForRuns: number;
  /** Take for a run at once. The caller must call the returned function once to give it back. */
  takeForRun(bytes: number): () => void;
  /**
   * Take for a drawing, in the order of the calls; more than there is for drawings counts as all of that. Resolves to the function
   * that gives it back; rejects with the signal's reason.
   */
  takeForDrawing(bytes: number, signal: AbortSignal): Promise<() => void>;
  /** Have a function called whenever runs may take more. */
  onFreed(callback: () => void): void;
}

const DRAWING_PART = 1 / 2;

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export function createMemory(bytes: number): Memory {
  const drawingBytes = DRAWING_PART * bytes;
  const callbacks: (() => void)[] = [];
  /** Drawings, in their order. */
  const waiting: Waiting[] = [];
  let runs = 0;
  let drawings = 0;

  /** What the first drawing waits for, if only runs are in its way. */
  function kept(): number {
    const first = waiting[0];
    return first !== undefined && drawings + first.bytes <= drawingBytes ? first.bytes : 0;
  }

  function freed(): void {
    for (let first = waiting[0]; first !== undefined && kept() > 0; first = waiting[0]) {
      if (runs + drawings + first.bytes > bytes) break;
      waiting.shift();
      drawings += first.bytes;
      first.start();
    }
    callbacks.forEach((callback) => callback());
  }

  function giveBack(change: () => void): () => void {
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      change();
      freed();
    };
  }

  return {
    bytes,
    drawingBytes,
    get freeForRuns() {
      return bytes - runs - drawings - kept();
    },
    takeForRun(taken) {
      runs += taken;
      return giveBack(() => (runs -= taken));
    },
    takeForDrawing(wanted, signal) {
      const taken = Math.min(wanted, drawingBytes);
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const onAbort = (): void => {
          const index = waiting.indexOf(one);
          waiting.splice(index, 1);
          reject(signal.reason as Error);
          freed();
        };
        const one: Waiting = {
          bytes: taken,
          start() {
            signal.removeEventListener('abort', onAbort);
            resolve(giveBack(() => (drawings -= taken)));
          },
        };
        waiting.push(one);
        signal.addEventListener('abort', onAbort, { once: true });
        freed();
      });
    },
    onFreed(callback) {
      callbacks.push(callback);
    },
  };
}
