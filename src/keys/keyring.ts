/**
 * The keys of a running server. A key is verified with scrypt once; from then on it is recognised by an HMAC under a random key
 * of this process. Only the right secret of an id is ever remembered, so a ring holds at most one digest for each entry.
 *
 * What a stranger can cost: an id that does not exist costs a look-up. (Ids are no secrets, so the time may tell which exist.) A
 * wrong secret costs one sha256, as soon as the right one was used; before that one guess of 65,536 costs an scrypt
 * (secret-hash.ts). An scrypt waits for the one before it, and an address whose guess has cost one waits for a second. So the right
 * key gets in, whatever others send.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyEntry, KeysFile, Scope } from './keys-file.js';
import { parseKey, type KeyText } from './key-text.js';
import { Quota } from './quota.js';
import { matches, mayMatch, type SecretHash } from './secret-hash.js';

/** A key that may be used at present. */
export interface Key {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** A moment in ISO 8601; undefined for never. */
  readonly expires: string | undefined;
  readonly quota: Quota;
}

/** Why a text opens nothing. `busy`: whether it does cannot be told at present. */
export type KeyFault = 'malformed' | 'unknown' | 'wrong' | 'busy';

/** Names of keys, by what a new file did to them. */
export interface KeyChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

interface LiveKey extends Key {
  readonly entry: KeyEntry;
  readonly hash: SecretHash;
  /** HMAC of the secret, once it was verified. */
  accepted: Buffer | undefined;
}

/** Verifications that wait for others. */
const MAX_WAITING = 64;
/** After a wrong guess that cost an scrypt. */
const PENALTY_MS = 1000;
/** Addresses with a penalty; beyond, the oldest is forgotten. */
const MAX_PENALTIES = 1000;

export class Keyring {
  readonly #keys = new Map<string, LiveKey>();
  readonly #processKey = randomBytes(32);
  /** Verifications on their way, by the HMAC of the whole key: a key that comes twice is verified once. */
  readonly #verifying = new Map<string, Promise<boolean | 'busy'>>();
  #last: Promise<unknown> = Promise.resolve();
  /** By address: when its next scrypt may begin. */
  readonly #penalties = new Map<string, number>();
  readonly #now: () => number;

  constructor(file: KeysFile, now: () => number = () => performance.now()) {
    this.#now = now;
    this.replace(file);
  }

  get names(): readonly string[] {
    return [...this.#keys.values()].map(({ name }) => name);
  }

  /** Take the keys of another file. What keys have used stays used; a secret that has changed is verified again. */
  replace({ keys, quotas: defaults = {} }: KeysFile): KeyChanges {
    const before = new Map(this.#keys);
    const changes = { added: [] as string[], changed: [] as string[], removed: [] as string[] };
    this.#keys.clear();
    for (const entry of keys) {
      const old = before.get(entry.id);
      before.delete(entry.id);
      const settings = { ...defaults, ...entry.quotas };
      old?.quota.change(settings);
      this.#keys.set(entry.id, {
        id: entry.id,
        name: entry.name,
        scopes: entry.scopes,
        expires: entry.expires,
        quota: old?.quota ?? new Quota(settings, this.#now),
        entry,
        hash: entry.hash,
        accepted: old !== undefined && areEqual(old.hash, entry.hash) ? old.accepted : undefined,
      });
      if (old === undefined) changes.added.push(entry.name);
      else if (!areEqual(old.entry, entry)) changes.changed.push(entry.name);
    }
    changes.removed.push(...[...before.values()].map(({ name }) => name));
    return changes;
  }

  /** The key that a text is. A promise only until its secret was verified. `address`: whose guess it is. */
  find(text: string, address: string): Key | KeyFault | Promise<Key | KeyFault> {
    const known = this.recognise(text);
    return known === 'unverified' ? this.#verify(parseKey(text)!, address) : known;
  }

  /** As `find`, if that can be told at once. */
  recognise(text: string): Key | Exclude<KeyFault, 'busy'> | 'unverified' {
    const parsed = parseKey(text);
    if (parsed === undefined) return 'malformed';
    const key = this.#keys.get(parsed.id);
    if (key === undefined) return 'unknown';
    if (key.accepted !== undefined) return timingSafeEqual(this.#mac(parsed.secret), key.accepted) ? key : 'wrong';
    return mayMatch(parsed.secret, key.hash) ? 'unverified' : 'wrong';
  }

  async #verify({ id, secret }: KeyText, address: string): Promise<Key | KeyFault> {
    const { hash } = this.#keys.get(id)!;
    const mac = this.#mac(secret);
    const name = `${id} ${mac.toString('base64')}`;
    let verifying = this.#verifying.get(name);
    if (verifying === undefined) {
      if (this.#verifying.size >= MAX_WAITING) return 'busy';
      verifying = this.#last.then<boolean | 'busy'>(() =>
        this.#isPenalised(address) ? 'busy' : matches(secret, hash),
      );
      this.#last = verifying.catch(() => undefined);
      this.#verifying.set(name, verifying);
      void this.#last.then(() => this.#verifying.delete(name));
    }
    const isRight = await verifying;
    if (isRight === 'busy') return 'busy';
    if (!isRight) {
      this.#penalise(address);
      return 'wrong';
    }
    const key = this.#keys.get(id);
    if (key === undefined) return 'unknown';
    // The file was replaced meanwhile.
    if (!areEqual(key.hash, hash)) return 'busy';
    key.accepted = mac;
    return key;
  }

  #isPenalised(address: string): boolean {
    return this.#now() < (this.#penalties.get(address) ?? 0);
  }

  #penalise(address: string): void {
    this.#penalties.delete(address);
    this.#penalties.set(address, this.#now() + PENALTY_MS);
    if (this.#penalties.size > MAX_PENALTIES) this.#penalties.delete(this.#penalties.keys().next().value!);
  }

  #mac(secret: string): Buffer {
    return createHmac('sha256', this.#processKey).update(secret).digest();
  }
}

function areEqual(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
