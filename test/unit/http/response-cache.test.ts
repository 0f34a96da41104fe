/** Who computes, who waits, and who is told what. */
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import type { MadeAnswer } from '../../../src/http/answer.js';
import { createResponseCache } from '../../../src/http/response-cache.js';
import type { RequestContext } from '../../../src/inference/request-context.js';

const MIB = 2 ** 20;
const context = (signal = new AbortController().signal): RequestContext => ({
  flow: { client: 'test', connection: 0 },
  priority: 0,
  deadline: Infinity,
  signal,
});
const textAnswer = (text: string, more: Partial<MadeAnswer> = {}): MadeAnswer => ({
  headers: { 'content-type': 'text/plain' },
  body: text,
  isWhole: true,
  isTimed: false,
  ...more,
});
const cacheOf = (budget = MIB, maxFollowers = 10) => createResponseCache({ budget, maxFollowers });
const never = (): Promise<MadeAnswer> => Promise.reject(new Error('computed twice'));
const textOf = ({ body }: MadeAnswer): string => Buffer.from(body as Uint8Array).toString();

/** A computation that ends when the test says so. */
function computation() {
  let end: (answer: MadeAnswer) => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const promise = new Promise<MadeAnswer>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return { make: () => promise, end, fail };
}

describe('the same question', () => {
  it('is answered from what is kept, and another one is not', async () => {
    const cache = cacheOf();
    expect((await cache.answer('a', context(), () => Promise.resolve(textAnswer('one')))).lookup).toBe('stored');
    const again = await cache.answer('a', context(), never);
    expect([again.lookup, textOf(again.answer), again.answer.headers]).toEqual([
      'hit',
      'one',
      { 'content-type': 'text/plain' },
    ]);
    expect((await cache.answer('b', context(), () => Promise.resolve(textAnswer('two')))).lookup).toBe('stored');
    expect(cache.entries).toBe(2);
  });

  it('asked twice at once is computed once', async () => {
    const cache = cacheOf();
    const first = computation();
    const leading = cache.answer('a', context(), first.make);
    const following = [1, 2, 3].map(() => cache.answer('a', context(), never));
    first.end(textAnswer('one'));
    expect((await leading).lookup).toBe('stored');
    for (const { lookup, answer } of await Promise.all(following)) {
      expect([lookup, textOf(answer)]).toEqual(['collapsed', 'one']);
    }
  });

  it('fails for all who ask it, if it cannot be answered, and is asked anew later', async () => {
    const cache = cacheOf();
    const first = computation();
    const all = [cache.answer('a', context(), first.make), cache.answer('a', context(), never)];
    first.fail(new ServiceError('IMAGE_UNDECODABLE', 'broken'));
    for (const result of await Promise.allSettled(all)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'IMAGE_UNDECODABLE' } });
    }
    expect((await cache.answer('a', context(), () => Promise.resolve(textAnswer('one')))).lookup).toBe('stored');
  });

  it.each(['DEADLINE_EXCEEDED', 'QUEUE_FULL', 'RATE_LIMITED'] as const)(
    'is computed by the next who asks it, if the first fails with %s, its own',
    async (code) => {
      const cache = cacheOf();
      const first = computation();
      const leading = cache.answer('a', context(), first.make);
      let computed = 0;
      const make = (): Promise<MadeAnswer> => Promise.resolve(textAnswer(`${++computed}`));
      const following = [1, 2, 3].map(() => cache.answer('a', context(), make));
      first.fail(new ServiceError(code, 'mine'));
      await expect(leading).rejects.toMatchObject({ code });
      expect((await Promise.all(following)).map(({ lookup }) => lookup)).toEqual(['stored', 'collapsed', 'collapsed']);
      expect(computed).toBe(1);
    },
  );

  it('is computed by the next, if the client of the first has left, whatever the error is then', async () => {
    const cache = cacheOf();
    const first = computation();
    const client = new AbortController();
    const leading = cache.answer('a', context(client.signal), first.make);
    const following = cache.answer('a', context(), () => Promise.resolve(textAnswer('mine')));
    client.abort(new Error('gone'));
    first.fail(new ServiceError('INFERENCE_FAILED', 'aborted'));
    await expect(leading).rejects.toThrow();
    expect(textOf((await following).answer)).toBe('mine');
  });

  it('is waited for no longer than a follower lives', async () => {
    const cache = cacheOf();
    const first = computation();
    const leading = cache.answer('a', context(), first.make);
    const client = new AbortController();
    const following = cache.answer('a', context(client.signal), never);
    client.abort(new Error('gone'));
    await expect(following).rejects.toThrow('gone');
    await expect(cache.answer('a', { ...context(), deadline: 0 }, never)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    first.end(textAnswer('one'));
    await leading;
  });

  it('is waited for by so many at most', async () => {
    const cache = cacheOf(MIB, 2);
    const first = computation();
    const leading = cache.answer('a', context(), first.make);
    const following = [1, 2].map(() => cache.answer('a', context(), never));
    await expect(cache.answer('a', context(), never)).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      limit: { name: 'following_requests', value: 2, needed: 3 },
    });
    first.end(textAnswer('one'));
    await Promise.all([leading, ...following]);
  });
});

describe('what is kept', () => {
  const kept = async (cache: ReturnType<typeof cacheOf>, key: string, answer: MadeAnswer) =>
    (await cache.answer(key, context(), () => Promise.resolve(answer))).lookup;

  it('takes no more memory than it may, and what was used longest ago goes', async () => {
    const cache = cacheOf(MIB);
    const text = 'x'.repeat(100_000);
    for (let index = 0; index < 10; index++) expect(await kept(cache, `key ${index}`, textAnswer(text))).toBe('stored');
    expect([cache.entries, cache.evictions]).toEqual([10, 0]);
    await cache.answer('key 0', context(), never);
    await kept(cache, 'one more', textAnswer(text));
    expect([cache.entries, cache.evictions]).toEqual([10, 1]);
    expect(cache.bytes).toBeLessThanOrEqual(MIB);
    expect(cache.bytes).toBeGreaterThan(10 * text.length);
    await cache.answer('key 0', context(), never);
    expect(await kept(cache, 'key 1', textAnswer(text))).toBe('stored');
  });

  it('counts headers and what is around an answer, too', async () => {
    const cache = cacheOf(MIB);
    for (let index = 0; index < 5000; index++) await kept(cache, String(index), textAnswer(''));
    expect(cache.bytes).toBeLessThanOrEqual(MIB);
    expect(cache.entries).toBeLessThan(MIB / 1000);
    const [plain, described] = [cacheOf(), cacheOf()];
    await kept(plain, 'x', textAnswer(''));
    await kept(described, 'x', textAnswer('', { headers: { 'content-type': 'text/plain', long: 'x'.repeat(500) } }));
    expect(described.bytes - plain.bytes).toBe(504);
  });

  it('is no answer that would push out all others, nor one of a part of the images', async () => {
    const cache = cacheOf(MIB);
    expect(await kept(cache, 'large', textAnswer('x'.repeat(MIB / 8)))).toBe('made');
    expect(await kept(cache, 'part', textAnswer('x', { isWhole: false }))).toBe('made');
    expect([cache.entries, cache.bytes]).toEqual([0, 0]);
  });

  it('says of JSON that nothing was computed, and of what was computed how long it took', async () => {
    const cache = cacheOf();
    const body =
      '{"results":[{"name":"\\"timing\\":"}],"timing":{"decodeMs":1.5,"queueMs":2,"inferMs":3,"batchSize":4}}';
    const made = await cache.answer('a', context(), () => Promise.resolve(textAnswer(body, { isTimed: true })));
    expect(textOf(made.answer)).toBe(body);
    const { answer } = await cache.answer('a', context(), never);
    expect(JSON.parse(textOf(answer))).toEqual({
      results: [{ name: '"timing":' }],
      timing: { decodeMs: 0, queueMs: 0, inferMs: 0, batchSize: 0 },
    });
  });

  it('is made of pieces as far as they may be kept; the others leave as they are made', async () => {
    const cache = cacheOf(MIB);
    let made = 0;
    const pieces = (count: number) =>
      (function* () {
        for (let index = 0; index < count; index++) {
          made++;
          yield String(index % 10).repeat(10_000);
        }
      })();
    const inPieces = (count: number) => textAnswer('', { body: { pieces: pieces(count), sourceBytes: 1 } });
    expect(await kept(cache, 'few', inPieces(10))).toBe('stored');
    expect(textOf((await cache.answer('few', context(), never)).answer)).toHaveLength(100_000);
    made = 0;
    const { answer, lookup } = await cache.answer('many', context(), () => Promise.resolve(inPieces(100)));
    expect(lookup).toBe('made');
    expect(made).toBeLessThan(20);
    const { pieces: all } = answer.body as unknown as { pieces: Generator<Uint8Array | string> };
    expect(Buffer.concat([...all].map((piece) => Buffer.from(piece))).length).toBe(1_000_000);
    expect(cache.entries).toBe(1);
  });

  it('is nothing without a budget', () => {
    expect(cacheOf(0).isOn).toBe(false);
  });
});
