/**
 * The memory that this server's processes may take for what strangers ask: runs of the networks, with what they decode, and
 * drawings. All of it together is FULLCONV_MEMORY_MB. What takes much says how much before it begins, and waits until that is
 * free.
 *
 * What engines keep of runs that are over counts, too. They are told to give it back when something lacks it.
 *
 * Drawings have at most half of it, so that small runs always find some, and small drawings pass large ones that fill that half. A
 * drawing has its turn when the runs that are under way leave enough; no further run takes what it waits for.
 */
export interface Memory {
  /** All of it. */
  readonly bytes: number;
  /** The most that all drawings together take. */
  readonly drawingBytes: number;
  /** Bytes in use now. */
  readonly inUse: Readonly<Record<'runs' | 'kept' | 'drawings', number>>;
  /** What runs may still take. */
  readonly freeForRuns: number;
  /** Take for a run at once. The caller must call the returned function once to give it back. */
  takeForRun(bytes: number): () => void;
  /**
   * Take for a drawing, in the order of the calls but for small ones; more than there is for drawings counts as all of that. Resolves to the function
   * that gives it back; rejects with the signal's reason.
   */
  takeForDrawing(bytes: number, signal: AbortSignal): Promise<() => void>;
  /** Say how many bytes engines keep of runs that are over. */
  kept(bytes: number): void;
  /** Say that a run lacks memory. */
  wanted(): void;
  /** Have a function called when something lacks memory that engines keep. */
  onWanted(callback: () => void): void;
  /** Have a function called whenever runs may take more. */
  onFreed(callback: () => void): void;
}

const DRAWING_PART = 1 / 2;
/** Of what drawings have: a small one. There are as many as processes that draw. */
const SMALL_PART = 1 / 8;

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export function createMemory(bytes: number): Memory {
  const drawingBytes = DRAWING_PART * bytes;
  const callbacks: (() => void)[] = [];
  const wants: (() => void)[] = [];
  /** Drawings, in their order. */
  const waiting: Waiting[] = [];
  let runs = 0;
  let drawings = 0;
  let kept = 0;

  const isSmall = ({ bytes: wanted }: Waiting): boolean => wanted <= SMALL_PART * drawingBytes;

  /** The drawing that is next, whose turn only runs can delay. */
  function next(): Waiting | undefined {
    const [first] = waiting;
    return first !== undefined && drawings + first.bytes <= drawingBytes ? first : waiting.find(isSmall);
  }

  function freed(): void {
    let one = next();
    for (; one !== undefined && runs + kept + drawings + one.bytes <= bytes; one = next()) {
      waiting.splice(waiting.indexOf(one), 1);
      drawings += one.bytes;
      one.start();
    }
    if (one !== undefined) wanted();
    callbacks.forEach((callback) => callback());
  }

  function wanted(): void {
    if (kept > 0) wants.forEach((callback) => callback());
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
    get inUse() {
      return { runs, kept, drawings };
    },
    get freeForRuns() {
      return bytes - runs - kept - drawings - (next()?.bytes ?? 0);
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
    kept(now) {
      const isLess = now < kept;
      kept = now;
      if (isLess) freed();
    },
    wanted,
    onWanted(callback) {
      wants.push(callback);
    },
    onFreed(callback) {
      callbacks.push(callback);
    },
  };
}
