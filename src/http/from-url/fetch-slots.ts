/**
 * How many images may be fetched at once. All together have a number, and a host, and a client, as many of it as are free beside them:
 * half of them for one alone, a third each for two. So one host that is slow, or one client that asks for slow ones, leaves
 * room for others. Source of the shares: body-memory.ts.
 */
import { ServiceError, type LimitName } from '../../errors.js';
import type { Refusal } from '../refusals.js';

export interface FetchSlots {
  readonly taken: number;
  /**
   * Take a place; the returned function gives it back and must be called once. Throws QUEUE_FULL, or RATE_LIMITED for a client that has its part.
   */
  take(host: string, client: string): () => void;
}

export function createFetchSlots(maximum: number, onRefused: (refusal: Refusal) => void): FetchSlots {
  let taken = 0;
  const byHost = new Map<string, number>();
  const byClient = new Map<string, number>();

  /** The most that one may have, those that it has among them. */
  const shareOf = (own: number): number => Math.max(1, Math.floor((maximum - (taken - own)) / 2));

  function refuse(
    code: 'QUEUE_FULL' | 'RATE_LIMITED',
    name: LimitName & Refusal,
    value: number,
    detail: string,
  ): never {
    onRefused(name);
    throw new ServiceError(code, detail, { limit: { name, value, needed: value + 1 } });
  }

  function change(counts: Map<string, number>, key: string, by: number): void {
    const count = (counts.get(key) ?? 0) + by;
    if (count === 0) counts.delete(key);
    else counts.set(key, count);
  }

  return {
    get taken() {
      return taken;
    },
    take(host, client) {
      if (taken >= maximum) {
        refuse('QUEUE_FULL', 'fetches', maximum, 'The server fetches as many images as it may at once.');
      }
      const [ofHost, ofClient] = [byHost.get(host) ?? 0, byClient.get(client) ?? 0];
      const [hosts, clients] = [shareOf(ofHost), shareOf(ofClient)];
      if (ofHost >= hosts) {
        refuse('QUEUE_FULL', 'fetches_per_host', hosts, 'The server fetches as many images from this host as it may.');
      }
      if (ofClient >= clients) {
        const detail = 'The server fetches as many images for this address as it may.';
        refuse('RATE_LIMITED', 'fetches_per_address', clients, detail);
      }
      taken += 1;
      change(byHost, host, 1);
      change(byClient, client, 1);
      return () => {
        taken -= 1;
        change(byHost, host, -1);
        change(byClient, client, -1);
      };
    },
  };
}
