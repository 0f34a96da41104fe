/**
 * Places that are kept for requests whose bodies are still on their way. Without them a full server lets in at their headers
 * all that come while one place is free, reads their bodies, and refuses all but one, which is late and costs the most.
 *
 * Announcing a body is no work, so it holds little: a quarter of the places are kept at most, each for two seconds, and a client's
 * for as many requests as are free beside them. A request for which none is kept is none the worse: it finds a place when its body
 * has come, or not. Pure, apart from its own memory.
 */

/** How long a place waits for a body. */
const KEPT_MS = 2000;

export interface KeptPlace {
  /** Whether the place is still kept. */
  readonly isKept: boolean;
  /** Give it up. May be called again. */
  release(): void;
}

export interface KeptPlaces {
  /** How many are kept now. */
  count(): number;
  /** Keep a place for a request of this client, if it may have one. */
  keep(client: string): KeptPlace;
}

/** `maxQueue`: all places. `now`: a clock in milliseconds. */
export function createKeptPlaces(maxQueue: number, now: () => number = () => performance.now()): KeptPlaces {
  const maximum = Math.floor(maxQueue / 4);
  /** By when each is given up, the first one first. */
  const kept = new Map<KeptPlace, { readonly client: string; readonly until: number }>();

  function count(): number {
    if (kept.size === 0) return 0;
    const time = now();
    for (const [place, { until }] of kept) {
      if (until > time) break;
      kept.delete(place);
    }
    return kept.size;
  }

  return {
    count,
    keep(client) {
      const place: KeptPlace = {
        get isKept() {
          count();
          return kept.has(place);
        },
        release: () => void kept.delete(place),
      };
      const free = maximum - count();
      const own = [...kept.values()].filter((each) => each.client === client).length;
      if (own < free) kept.set(place, { client, until: now() + KEPT_MS });
      return place;
    },
  };
}
