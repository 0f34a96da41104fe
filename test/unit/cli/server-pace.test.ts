import { describe, expect, it } from 'vitest';
import { createPace, type Pace } from '../../../src/cli/server-pace.js';
import { ProblemError, UnreachableError, type Problem } from '../../../src/client/index.js';

const PROBLEM: Problem = { type: 'about:blank', title: '', status: 503, code: 'QUEUE_FULL', detail: 'full' };
const fullFor = (retryAfterS?: number): ProblemError => new ProblemError(PROBLEM, retryAfterS);
const { signal } = new AbortController();

/** A pace whose waits are ended by hand. */
function paceOf(atOnce: number): { pace: Pace; waits: { seconds: number; end: () => void }[] } {
  const waits: { seconds: number; end: () => void }[] = [];
  const wait = (seconds: number, given: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      waits.push({ seconds, end: resolve });
      given.addEventListener('abort', () => reject(given.reason as Error));
    });
  return { pace: createPace(atOnce, wait), waits };
}

/** A pace that waits for nothing. */
const hurried = (): Pace => createPace(4, () => Promise.resolve());

/** All that can run without the end of a wait or a request. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sends that stay open until the test answers or refuses them. */
function openSends() {
  const open: { answer: () => void; refuse: (error: Error) => void }[] = [];
  const send = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const gone = (act: () => void) => (): void => {
        open.splice(open.indexOf(sent), 1);
        act();
      };
      const sent = {
        answer: gone(() => resolve('answer')),
        refuse: (error: Error): void => gone(() => reject(error))(),
      };
      open.push(sent);
    });
  return { open, send };
}

describe('the pace of a server', () => {
  it('sends as many at once as it may, and half as many after a refusal and its Retry-After', async () => {
    const { pace, waits } = paceOf(8);
    const { open, send } = openSends();
    const answers = Promise.all(Array.from({ length: 12 }, () => pace.ask(send, signal)));
    await settled();
    expect(open).toHaveLength(8);
    for (const sent of open.slice(2)) sent.refuse(fullFor(7));
    open[0]!.answer();
    await settled();
    expect(open, 'nothing is sent before the wait is over').toHaveLength(1);
    expect(waits.map(({ seconds }) => seconds)).toEqual([7, 7, 7, 7, 7, 7]);
    for (const { end } of waits) end();
    await settled();
    expect(open, 'six refusals of one round halve once').toHaveLength(4);
    while (open.length > 0) {
      expect(open.length).toBeLessThanOrEqual(4);
      open[0]!.answer();
      await settled();
    }
    expect(await answers).toEqual(Array.from({ length: 12 }, () => 'answer'));
  });

  it('comes down to one at once, and not below', async () => {
    const pace = hurried();
    let atOnce = 0;
    const oneAtOnce = async (): Promise<number> => {
      atOnce += 1;
      await settled();
      const isAlone = atOnce === 1;
      await settled();
      atOnce -= 1;
      if (!isAlone) throw fullFor(1);
      return 1;
    };
    expect(await Promise.all(Array.from({ length: 20 }, () => pace.ask(oneAtOnce, signal)))).toHaveLength(20);
  });

  it.each([
    ['each second', 1, 121],
    ['without saying when', undefined, 121],
    ['at once', 0, 121],
    ['each minute', 60, 3],
    ['in an hour', 3600, 1],
  ])('gives up with the refusal, where the server says to come back %s', async (_, retryAfterS, tries) => {
    let sent = 0;
    const refusal = fullFor(retryAfterS);
    const asking = hurried().ask(() => {
      sent += 1;
      return Promise.reject(refusal);
    }, signal);
    await expect(asking).rejects.toBe(refusal);
    expect(sent).toBe(tries);
  });

  it.each([
    new ProblemError({ ...PROBLEM, status: 404, code: 'CLASS_NOT_FOUND' }),
    new ProblemError({ ...PROBLEM, status: 504, code: 'DEADLINE_EXCEEDED' }, 1),
    new UnreachableError('nobody'),
  ])('sends nothing again that was refused for another reason: %s', async (error) => {
    let sent = 0;
    const asking = hurried().ask(() => {
      sent += 1;
      return Promise.reject(error);
    }, signal);
    await expect(asking).rejects.toBe(error);
    expect(sent).toBe(1);
  });

  it('waits no longer than its command', async () => {
    const { pace } = paceOf(1);
    const command = new AbortController();
    let sent = 0;
    const ask = (): Promise<never> =>
      pace.ask(() => {
        sent += 1;
        return Promise.reject(fullFor(1));
      }, command.signal);
    const asking = [ask(), ask()];
    await settled();
    command.abort(new Error('over'));
    for (const each of asking) await expect(each).rejects.toThrow('over');
    expect(sent).toBe(1);
  });
});
