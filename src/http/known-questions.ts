/**
 * Questions that are in order, by their address. A request that asks one again is known to be in order without its parameters
 * being looked at. Learned from requests whose parameters were.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';

/** What of a question decides how long it may wait. */
export interface Question {
  readonly model?: string | undefined;
  readonly version?: string | undefined;
  readonly priority: number;
  readonly deadlineMs?: number | undefined;
}

export interface KnownQuestion {
  /** As its route is known to fastify. */
  readonly route: string;
  readonly question: Question;
  /** Of the answer; undefined if it has none. */
  readonly vary: string | undefined;
}

export interface KnownQuestions {
  /** The query of a POST is in order, whatever its body is, and its Host is let in. */
  add(request: FastifyRequest, reply: FastifyReply, question: Question): void;
  find(host: string | undefined, url: string | undefined): KnownQuestion | undefined;
}

/** Clients ask few. Beyond these the oldest is forgotten. */
const MAX_KNOWN = 256;
const MAX_URL = 1000;

export function createKnownQuestions(): KnownQuestions {
  const known = new Map<string, KnownQuestion>();
  return {
    add({ headers: { host }, url, routeOptions }, reply, { model, version, priority, deadlineMs }) {
      const key = keyOf(host, url);
      if (known.has(key) || key.length > MAX_URL) return;
      const vary = reply.getHeader('vary');
      known.set(key, {
        route: routeOptions.url ?? url,
        question: { model, version, priority, deadlineMs },
        vary: vary === undefined ? undefined : String(vary),
      });
      if (known.size > MAX_KNOWN) known.delete(known.keys().next().value!);
    },
    find: (host, url) => known.get(keyOf(host, url)),
  };
}

const keyOf = (host = '', url = ''): string => `${host} ${url}`;
