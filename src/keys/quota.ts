/**
 * What a key has left: requests and multiply-adds as token buckets, images as places. A bucket begins full and fills evenly.
 * The cost of a request is known from its plan, and taken before it runs. What a request costs beyond its plan becomes a debt.
 */
import { ServiceError, type LimitName } from '../errors.js';
import type { QuotaSettings } from './keys-file.js';

/** A limit of a key, as the headers RateLimit-Policy and RateLimit tell it. */
export interface QuotaState {
  readonly name: 'requests' | 'images' | 'cost';
  /** Whole units in `windowS` seconds, or at once if that is undefined. */
  readonly quota: number;
  readonly windowS: number | undefined;
  readonly unit: 'requests' | 'images' | 'gmac';
  readonly left: number;
  /** Seconds until all of it is there again; undefined for places, which come back with answers. */
  readonly fullInS: number | undefined;
}

const MINUTE_S = 60;
const GMAC = 1e9;

/** The longest window in which a rate is told in whole requests. */
const MAX_WINDOW_S = 60;

class Bucket {
  readonly capacity: number;
  readonly #perMs: number;
  #level: number;
  #at: number;

  constructor(capacity: number, perSecond: number, now: number, used = 0) {
    this.capacity = capacity;
    this.#perMs = perSecond / 1000;
    this.#level = capacity - used;
    this.#at = now;
  }

  level(now: number): number {
    this.#level = Math.min(this.capacity, this.#level + Math.max(0, now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#level;
  }

  take(amount: number, now: number): void {
    this.#level = this.level(now) - amount;
  }

  /** Whole seconds, at least one, until so much is there. */
  secondsUntil(amount: number, now: number): number {
    return Math.max(1, Math.ceil(this.#msUntil(amount, now) / 1000));
  }

  secondsUntilFull(now: number): number {
    return Math.ceil(this.#msUntil(this.capacity, now) / 1000);
  }

  #msUntil(amount: number, now: number): number {
    return (Math.min(amount, this.capacity) - this.level(now)) / this.#perMs;
  }
}

export class Quota {
  #requests: Bucket | undefined;
  #cost: Bucket | undefined;
  #settings: QuotaSettings = {};
  #images = 0;
  readonly #now: () => number;

  constructor(settings: QuotaSettings, now: () => number = () => performance.now()) {
    this.#now = now;
    this.change(settings);
  }

  /** Other limits from now on. What has been used stays used. */
  change(settings: QuotaSettings): void {
    const now = this.#now();
    const used = (bucket: Bucket | undefined): number =>
      bucket === undefined ? 0 : bucket.capacity - bucket.level(now);
    const { requestsPerSecond: rate, burst, costPerMinute: cost } = settings;
    this.#requests =
      rate == null ? undefined : new Bucket(burst ?? Math.max(1, Math.ceil(rate)), rate, now, used(this.#requests));
    this.#cost = cost == null ? undefined : new Bucket(cost, cost / MINUTE_S, now, used(this.#cost));
    this.#settings = settings;
  }

  /** Count a request. Throws RATE_LIMITED for one too many, and where nothing is left of the cost. */
  takeRequest(): void {
    const refusal = this.refusesRequest();
    if (refusal !== undefined) throw refusal;
    this.#requests?.take(1, this.#now());
  }

  /** Why a request would be refused now. */
  refusesRequest(): ServiceError | undefined {
    const now = this.#now();
    if (this.#requests !== undefined && this.#requests.level(now) < 1) {
      const value = this.#settings.requestsPerSecond!;
      return exceeded('requests_per_second', `The key may send ${value} requests a second.`, {
        value,
        retryAfterS: this.#requests.secondsUntil(1, now),
      });
    }
    if (this.#cost !== undefined && this.#cost.level(now) <= 0) {
      const value = this.#cost.capacity;
      return exceeded('cost_per_minute', `The key has spent its ${value} GMAC a minute.`, {
        value,
        retryAfterS: this.#cost.secondsUntil(0.01 * value, now),
      });
    }
    return undefined;
  }

  /** Take places for images; the caller calls the returned function once to give them back. Throws RATE_LIMITED. */
  holdImages(count: number): () => void {
    const { imagesAtOnce: value } = this.#settings;
    const needed = this.#images + count;
    if (value != null && needed > value) {
      const detail = `The key may have ${value} images in the server at once; with this request it would have ${needed}.`;
      throw exceeded('images_at_once', detail, { value, needed });
    }
    this.#images = needed;
    return () => {
      this.#images -= count;
    };
  }

  /** Take what a request is planned to cost, in multiply-adds. Throws RATE_LIMITED if that is more than is left. */
  spend(multiplyAdds: number): void {
    if (this.#cost === undefined) return;
    const now = this.#now();
    const value = this.#cost.capacity;
    const needed = multiplyAdds / GMAC;
    const left = this.#cost.level(now);
    if (needed > left) {
      const told = `The request takes ${rounded(needed)} GMAC, and the key has ${rounded(Math.max(0, left))} of ${value} a minute left.`;
      const orElse = needed > value ? ' Ask for less at once.' : '';
      throw exceeded('cost_per_minute', told + orElse, {
        value,
        needed: rounded(needed),
        retryAfterS: this.#cost.secondsUntil(needed, now),
      });
    }
    this.#cost.take(needed, now);
  }

  /** Take what a request turned out to cost beside its plan, in multiply-adds, whether it is left or not. */
  owe(multiplyAdds: number): void {
    this.#cost?.take(multiplyAdds / GMAC, this.#now());
  }

  /** The limits and what is left of each; empty if there are none. */
  get states(): readonly QuotaState[] {
    const now = this.#now();
    const states: QuotaState[] = [];
    if (this.#requests !== undefined) {
      const window = wholeWindow(this.#settings.requestsPerSecond!);
      const left = Math.max(0, Math.floor(this.#requests.level(now)));
      const fullInS = this.#requests.secondsUntilFull(now);
      states.push({ name: 'requests', ...window, unit: 'requests', left, fullInS });
    }
    if (this.#settings.imagesAtOnce != null) {
      const quota = this.#settings.imagesAtOnce;
      const left = Math.max(0, quota - this.#images);
      states.push({ name: 'images', quota, windowS: undefined, unit: 'images', left, fullInS: undefined });
    }
    if (this.#cost !== undefined) {
      const quota = Math.max(1, Math.floor(this.#cost.capacity));
      const left = Math.max(0, Math.floor(this.#cost.level(now)));
      const fullInS = this.#cost.secondsUntilFull(now);
      states.push({ name: 'cost', quota, windowS: MINUTE_S, unit: 'gmac', left, fullInS });
    }
    return states;
  }
}

/** A rate as whole requests in whole seconds: 0.5 a second is one in two. */
function wholeWindow(perSecond: number): { readonly quota: number; readonly windowS: number } {
  for (let windowS = 1; windowS < MAX_WINDOW_S; windowS += 1) {
    if (Number.isInteger(perSecond * windowS)) return { quota: perSecond * windowS, windowS };
  }
  const quota = Math.floor(perSecond * MAX_WINDOW_S);
  return quota > 0 ? { quota, windowS: MAX_WINDOW_S } : { quota: 1, windowS: Math.ceil(1 / perSecond) };
}

function rounded(gmac: number): number {
  return Number(gmac.toPrecision(3));
}

function exceeded(
  name: Extract<LimitName, 'requests_per_second' | 'images_at_once' | 'cost_per_minute'>,
  detail: string,
  { value, needed, retryAfterS = 1 }: { value: number; needed?: number; retryAfterS?: number },
): ServiceError {
  const limit = { name, value, ...(needed === undefined ? {} : { needed }) };
  return new ServiceError('RATE_LIMITED', detail, { retryAfterS, limit });
}
