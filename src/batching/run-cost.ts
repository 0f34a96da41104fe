/**
 * What a run costs on its device: `ms = fixed + marginal × cost`, cost in multiply-adds. The line is fitted by least
 * squares to a session's own runs. Older runs count less (a forgetting factor), so the figures follow a machine that
 * becomes busy. Pure arithmetic on five sums; a run is added in constant time.
 *
 * Runs of one cost cannot tell the fixed part from the marginal one. Then all of the cost is taken as marginal, so that
 * no item waits for a saving that was never seen. A slope or a fixed cost below zero is noise, and is taken as zero.
 */

export interface RunCost {
  /** Per run, whatever is in it. */
  readonly fixedMs: number;
  /** Per GMAC: 10⁹ multiply-adds. */
  readonly msPerGmac: number;
}

export interface RunCostFit {
  /** A run of `cost` multiply-adds took `ms`. */
  add(cost: number, ms: number): void;
  /** The line; undefined before the first run. */
  readonly line: RunCost | undefined;
}

/** The fits of all sessions. */
export interface RunCosts {
  /**
   * Record that a run took `ms`. A run of cost 0 is left out. `shape` is a key that is equal for equal inputs, given on
   * a device that may prepare itself for shapes: the first run of each shape includes the preparation, and is left out.
   */
  ran(session: string, cost: number, ms: number, shape?: string): void;
  /** The session's line, or before its first run that of all sessions together; undefined before any run. */
  of(session: string): RunCost | undefined;
  all(): ReadonlyMap<string, RunCost>;
  forget(session: string): void;
}

const GMAC = 1e9;
/** A run's weight is halved after 32 more runs. */
const FORGETTING = 2 ** (-1 / 32);
/** Costs are one cost if their standard deviation is below this fraction of their mean. */
const SAME_COST = 0.05;

export function createRunCostFit(): RunCostFit {
  let weight = 0;
  let x = 0;
  let y = 0;
  let xx = 0;
  let xy = 0;
  return {
    add(cost, ms) {
      const gmacs = cost / GMAC;
      weight = FORGETTING * weight + 1;
      x = FORGETTING * x + gmacs;
      y = FORGETTING * y + ms;
      xx = FORGETTING * xx + gmacs * gmacs;
      xy = FORGETTING * xy + gmacs * ms;
    },
    get line() {
      if (weight === 0) return undefined;
      const mean = x / weight;
      const variance = xx / weight - mean * mean;
      const throughOrigin = { fixedMs: 0, msPerGmac: xx === 0 ? 0 : xy / xx };
      if (variance <= (SAME_COST * mean) ** 2) return throughOrigin;
      const slope = (xy / weight - mean * (y / weight)) / variance;
      if (slope <= 0) return { fixedMs: y / weight, msPerGmac: 0 };
      const fixedMs = y / weight - slope * mean;
      return fixedMs <= 0 ? throughOrigin : { fixedMs, msPerGmac: slope };
    },
  };
}

/** How long `runs` runs of `cost` multiply-adds together take, in milliseconds. */
export function predictMs({ fixedMs, msPerGmac }: RunCost, runs: number, cost: number): number {
  return runs * fixedMs + (cost / GMAC) * msPerGmac;
}

/** The multiply-adds that take this long; 0 where they take no time. */
export function costOfMs({ msPerGmac }: RunCost, ms: number): number {
  return msPerGmac === 0 ? 0 : (ms / msPerGmac) * GMAC;
}

/** How many sessions and shapes are remembered. */
const MAX_SESSIONS = 256;
const MAX_SHAPES = 4096;

export function createRunCosts(): RunCosts {
  const fits = new Map<string, RunCostFit>();
  const overall = createRunCostFit();
  const shapes = new Set<string>();

  function fitOf(session: string): RunCostFit {
    const known = fits.get(session);
    if (known !== undefined) return known;
    if (fits.size >= MAX_SESSIONS) fits.delete(fits.keys().next().value!);
    const fit = createRunCostFit();
    fits.set(session, fit);
    return fit;
  }

  function isFirst(shape: string): boolean {
    if (shapes.has(shape)) return false;
    if (shapes.size >= MAX_SHAPES) shapes.clear();
    shapes.add(shape);
    return true;
  }

  return {
    ran(session, cost, ms, shape) {
      if (cost === 0 || (shape !== undefined && isFirst(shape))) return;
      fitOf(session).add(cost, ms);
      overall.add(cost, ms);
    },
    of: (session) => fits.get(session)?.line ?? overall.line,
    all: () =>
      new Map([...fits].flatMap(([session, { line }]) => (line === undefined ? [] : [[session, line] as const]))),
    forget: (session) => void fits.delete(session),
  };
}
