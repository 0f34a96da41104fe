/**
 * Which connections ask little while others keep the workers busy: those that were idle for as long as their last answer took, or
 * longer, and new ones. Their answers should not wait for batches of the others (batch-policy.ts).
 *
 * To serve a connection apart takes batches from all others, so it is done only where it helps. Without a backlog nobody waits.
 * Where many ask like that, as users at random times do, nobody is special. And a burst of new connections is no client that
 * asks little: such a one comes again.
 */
import type { Flow } from './fair-shares.js';

/** Items that wait: with fewer there is no backlog. */
const BACKLOG = 8;
/** Of the arrivals; more are too many to be served apart. */
const MOST_LIGHT = 1 / 4;
/** Weight of the newest arrival in the running mean of how many are of idle connections. */
const ARRIVAL_WEIGHT = 1 / 32;
/** Light items that come for this long are no burst. */
const BURST_MS = 200;
/** Light clients have gone when none has come for this long. */
const GONE_MS = 2_000;
/** Connections whose past is known. Beyond these the one that was answered longest ago counts as new. */
const MAX_CONNECTIONS = 4096;

interface Past {
  /** Items of it that have no answer yet. */
  open: number;
  answeredAt: number;
  /** How long its last answer took. */
  tookMs: number;
}

export interface LightConnections {
  /**
   * An item arrives now, and finds so many waiting. `isLight`: its connection asks little. `isSingle`: all that its connection asked
   * before has its answer.
   */
  arrived(flow: Flow, waiting: number, now: number): { readonly isLight: boolean; readonly isSingle: boolean };
  /** An item that arrived at `arrival` has its answer now. */
  answered(flow: Flow, arrival: number, now: number): void;
  /** Whether light clients keep coming. */
  come(now: number): boolean;
  /** How many connections have a past that is known. */
  readonly known: number;
}

/** Times are in milliseconds of one clock. */
export function createLightConnections(): LightConnections {
  /** By number of the connection, the last answered last. */
  const pasts = new Map<number, Past>();
  /** The part of the arrivals that is of idle connections. Of the first ones nobody is special. */
  let idleArrivals = 1;
  /** The light items that came with less than GONE_MS between them. */
  let first = -Infinity;
  let last = -Infinity;

  function remember(connection: number, past: Past): void {
    pasts.delete(connection);
    pasts.set(connection, past);
    if (pasts.size > MAX_CONNECTIONS) pasts.delete(pasts.keys().next().value!);
  }

  return {
    arrived({ connection }, waiting, now) {
      const past = pasts.get(connection);
      const isSingle = past === undefined || past.open === 0;
      const wasIdle = isSingle && now - (past?.answeredAt ?? -Infinity) >= (past?.tookMs ?? 0);
      idleArrivals += ARRIVAL_WEIGHT * (Number(wasIdle) - idleArrivals);
      if (past === undefined) remember(connection, { open: 1, answeredAt: now, tookMs: 0 });
      else past.open += 1;
      if (!wasIdle || idleArrivals > MOST_LIGHT || waiting < BACKLOG) return { isLight: false, isSingle };
      if (now - last > GONE_MS) first = now;
      last = now;
      return { isLight: true, isSingle };
    },
    answered({ connection }, arrival, now) {
      const open = (pasts.get(connection)?.open ?? 1) - 1;
      remember(connection, { open, answeredAt: now, tookMs: now - arrival });
    },
    come: (now) => now - last < GONE_MS && last - first >= BURST_MS,
    get known() {
      return pasts.size;
    },
  };
}
