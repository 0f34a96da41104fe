/**
 * Answers that are kept for those who ask the same again, and shared by those who ask the same at once. The first of them leads: its
 * answer is computed. The others follow: they wait for it, each as long as it lives itself, and take no place in the server and no worker.
 *
 * If the leader fails for a reason of its own (its client left, its deadline, its place), a follower leads. If it fails
 * for a reason that lies in the question, all fail with it. Bodies of followers stay charged (body-memory.ts), and there are no more of
 * them than `maxFollowers`.
 *
 * Entries are never taken back: a key has the digest of the model, so that nothing asks for those of a model that is gone,
 * and they go when others need the memory.
 */
import { ServiceError, type ErrorCode } from '../errors.js';
import { waitWithin, type RequestContext } from '../inference/request-context.js';
import { gather, untimed, type MadeAnswer, type WholeAnswer } from './answer.js';
import { createKeptAnswers } from './kept-answers.js';

/**
 * What became of a question: `hit`: it was kept; `collapsed`: it is another's that was just being computed; `stored`: it was computed,
 * and is kept; `made`: it was computed.
 */
export type Lookup = 'hit' | 'collapsed' | 'stored' | 'made';

export interface ResponseCache {
  /** Nothing is kept or shared otherwise. */
  readonly isOn: boolean;
  readonly bytes: number;
  readonly entries: number;
  readonly evictions: number;
  /** The answer that is kept, or another's, or that of `make`. Throws as `make` does, DEADLINE_EXCEEDED, QUEUE_FULL. */
  answer(
    key: string,
    context: RequestContext,
    make: () => Promise<MadeAnswer>,
  ): Promise<{ readonly answer: MadeAnswer; readonly lookup: Lookup }>;
}

export interface ResponseCacheOptions {
  /** Bytes; 0 for no cache. */
  readonly budget: number;
  readonly maxFollowers: number;
}

/** What a leader's followers get. `own`: it failed for a reason of its own; `large`: its answer leaves in pieces. */
type Outcome =
  | { readonly kind: 'answer'; readonly answer: WholeAnswer }
  | { readonly kind: 'failure'; readonly error: unknown }
  | { readonly kind: 'own' }
  | { readonly kind: 'large' };

/** All answers that are being gathered have this part of the budget together, beside it. */
const GATHERED = 4;

/** Failures that say nothing of the question, as those do that come from the request's own signal. */
const OWN_FAILURES: readonly ErrorCode[] = ['DEADLINE_EXCEEDED', 'QUEUE_FULL', 'RATE_LIMITED', 'DRAINING'];

export function createResponseCache({ budget, maxFollowers }: ResponseCacheOptions): ResponseCache {
  const kept = createKeptAnswers(budget);
  const leaders = new Map<string, Promise<Outcome>>();
  let followers = 0;
  let gathered = 0;

  async function lead(key: string, context: RequestContext, make: () => Promise<MadeAnswer>) {
    let tell: (outcome: Outcome) => void = () => undefined;
    leaders.set(key, new Promise<Outcome>((resolve) => (tell = resolve)));
    let own = 0;
    try {
      const made = await gather(await make(), (more) => {
        own += more;
        gathered += more;
        return own <= kept.maxBodyBytes && gathered <= budget / GATHERED;
      });
      if (!(made.body instanceof Uint8Array)) {
        tell({ kind: 'large' });
        return { answer: made, lookup: 'made' } as const;
      }
      const whole = made as WholeAnswer;
      // One that is too large to be kept need not be copied.
      const answer = whole.body.length > kept.maxBodyBytes ? whole : untimed(whole);
      const isKept = answer.isWhole && kept.put(key, answer);
      tell({ kind: 'answer', answer });
      return { answer: made, lookup: isKept ? 'stored' : 'made' } as const;
    } catch (error) {
      const isOwn = context.signal.aborted || (error instanceof ServiceError && OWN_FAILURES.includes(error.code));
      tell(isOwn ? { kind: 'own' } : { kind: 'failure', error });
      throw error;
    } finally {
      gathered -= own;
      leaders.delete(key);
    }
  }

  async function follow(context: RequestContext, leader: Promise<Outcome>): Promise<Outcome> {
    if (followers >= maxFollowers) {
      throw new ServiceError('QUEUE_FULL', `${maxFollowers} requests wait for an answer that is being computed.`, {
        limit: { name: 'following_requests', value: maxFollowers, needed: followers + 1 },
      });
    }
    followers += 1;
    try {
      return await waitWithin(context, leader);
    } finally {
      followers -= 1;
    }
  }

  return {
    isOn: budget > 0,
    get bytes() {
      return kept.bytes;
    },
    get entries() {
      return kept.entries;
    },
    get evictions() {
      return kept.evictions;
    },
    async answer(key, context, make) {
      for (;;) {
        const found = kept.get(key);
        if (found !== undefined) return { answer: found, lookup: 'hit' };
        const leader = leaders.get(key);
        if (leader === undefined) return lead(key, context, make);
        const outcome = await follow(context, leader);
        if (outcome.kind === 'answer') return { answer: outcome.answer, lookup: 'collapsed' };
        if (outcome.kind === 'failure') throw outcome.error;
        if (outcome.kind === 'large') return { answer: await make(), lookup: 'made' };
      }
    },
  };
}
