/** What a ring takes for a key, and what a wrong one costs. scrypt is counted, not measured. */
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatKey, makeKey, parseKey, type KeyText } from '../../../src/keys/key-text.js';
import { Keyring, type Key } from '../../../src/keys/keyring.js';
import type { KeyEntry, KeysFile } from '../../../src/keys/keys-file.js';
import { hashSecret, mayMatch } from '../../../src/keys/secret-hash.js';

const scrypts = vi.hoisted(() => ({ count: 0 }));
vi.mock(import('node:crypto'), async (original) => {
  const crypto = await original();
  const scrypt = (...args: unknown[]) => {
    scrypts.count += 1;
    (crypto.scrypt as (...args: unknown[]) => void)(...args);
  };
  return { ...crypto, scrypt: scrypt };
});

const key = makeKey();
const text = formatKey(key);
let entry: KeyEntry;
let file: KeysFile;
beforeAll(async () => {
  entry = { id: key.id, name: 'camera', scopes: ['infer'], hash: await hashSecret(key.secret) };
  file = { keys: [entry] };
});
let now = 0;
let ring: Keyring;
beforeEach(() => {
  now = 0;
  ring = new Keyring(file, () => now);
  scrypts.count = 0;
});

const nameOf = (found: Key | string): string => (typeof found === 'string' ? found : `key ${found.name}`);
const find = async (asked: string, address = 'a', where = ring): Promise<string> =>
  nameOf(await where.find(asked, address));

/** Another secret of the same id, that passes the check of 16 bits or does not. */
function guess(passes: boolean): KeyText {
  for (;;) {
    const { secret } = makeKey();
    if (mayMatch(secret, entry.hash) === passes) return { id: key.id, secret };
  }
}

describe('a key', () => {
  it('is verified once, and recognised from then on without a promise', async () => {
    expect(await find(text)).toBe('key camera');
    expect(scrypts.count).toBe(1);
    expect(ring.find(text, 'b')).toMatchObject({ name: 'camera', scopes: ['infer'], expires: undefined });
    expect(scrypts.count).toBe(1);
  });

  it('that comes many times at once is verified once', async () => {
    const found = await Promise.all(Array.from({ length: 200 }, (_, i) => find(text, String(i))));
    expect(new Set(found)).toEqual(new Set(['key camera']));
    expect(scrypts.count).toBe(1);
  });

  it.each([
    ['', 'malformed'],
    ['fc_', 'malformed'],
    [`fc_${'a'.repeat(40)}_${'b'.repeat(43)}`, 'malformed'],
    [`${text}=`, 'malformed'],
    [`fc_${key.id}_short`, 'malformed'],
    [formatKey(makeKey()), 'unknown'],
  ])('%s is %s, and costs no scrypt', (asked, fault) => {
    expect(ring.find(asked, 'a')).toBe(fault);
    expect(scrypts.count).toBe(0);
  });

  it('has a form that can be read back', () => {
    expect(parseKey(text)).toEqual(key);
  });
});

describe('a wrong secret', () => {
  it('costs no scrypt, but for one guess of 65,536', async () => {
    for (let i = 0; i < 50; i++) expect(await find(formatKey(guess(false)))).toBe('wrong');
    expect(scrypts.count).toBe(0);
  });

  it('that passes the check costs one, and its address waits', async () => {
    const wrong = formatKey(guess(true));
    expect(await find(wrong, 'stranger')).toBe('wrong');
    expect(await find(formatKey(guess(true)), 'stranger')).toBe('busy');
    expect(scrypts.count).toBe(1);
    now = 1001;
    expect(await find(wrong, 'stranger')).toBe('wrong');
    expect(scrypts.count).toBe(2);
  });

  it('keeps the right one out for no longer than its scrypt, and costs none once that was used', async () => {
    const wrong = Array.from({ length: 3 }, () => formatKey(guess(true)));
    const found = await Promise.all([...wrong.map((asked) => find(asked, 'stranger')), find(text, 'friend')]);
    expect(found).toEqual(['wrong', 'busy', 'busy', 'key camera']);
    expect(scrypts.count).toBe(2);
    expect(ring.find(wrong[1]!, 'another')).toBe('wrong');
    expect(scrypts.count).toBe(2);
  });
});

describe('another file', () => {
  it('revokes, adds and changes at once', async () => {
    await find(text);
    const other = makeKey();
    const added = { ...entry, id: other.id, name: 'other', hash: await hashSecret(other.secret) };
    expect(ring.replace({ keys: [added] })).toEqual({ added: ['other'], changed: [], removed: ['camera'] });
    expect(ring.find(text, 'a')).toBe('unknown');
    expect(await find(formatKey(other))).toBe('key other');
    expect(ring.replace({ keys: [{ ...added, scopes: ['models'] }] })).toMatchObject({ changed: ['other'] });
    expect(ring.find(formatKey(other), 'a')).toMatchObject({ scopes: ['models'] });
  });

  it('with another secret of the id wants that', async () => {
    await find(text);
    const next = { id: key.id, secret: makeKey().secret };
    ring.replace({ keys: [{ ...entry, hash: await hashSecret(next.secret) }] });
    expect(await find(text)).toBe('wrong');
    expect(await find(formatKey(next))).toBe('key camera');
  });

  it('leaves used what was used, and takes defaults where a key says nothing', async () => {
    ring.replace({ ...file, quotas: { requestsPerSecond: 2 } });
    const { quota } = (await ring.find(text, 'a')) as Key;
    quota.takeRequest();
    ring.replace({ ...file, quotas: { requestsPerSecond: 2, imagesAtOnce: 1 } });
    quota.takeRequest();
    expect(() => quota.takeRequest()).toThrow('2 requests a second');
    ring.replace({ quotas: { requestsPerSecond: 2 }, keys: [{ ...entry, quotas: { requestsPerSecond: null } }] });
    quota.takeRequest();
  });

  it('that comes while a key is verified decides', async () => {
    const verifying = find(text);
    ring.replace({ keys: [] });
    expect(await verifying).toBe('unknown');
  });
});
