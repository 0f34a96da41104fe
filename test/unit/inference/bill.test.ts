import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import { answerEach } from '../../../src/inference/answer-each.js';
import { createBill } from '../../../src/inference/bill.js';
import type { Inference } from '../../../src/inference/infer.js';

/** A budget that says what it was asked for. */
function budgetOf(most = Infinity): { readonly spent: number[]; spend(cost: number): void; owe(): void } {
  const spent: number[] = [];
  return {
    spent,
    spend(cost) {
      if (cost > most) throw new Error('too much');
      spent.push(cost);
    },
    owe: () => undefined,
  };
}

describe('a bill', () => {
  it('is paid once, when every image is planned or has left', async () => {
    const budget = budgetOf();
    const [first, second, third] = createBill(3, budget);
    const paid = [first!.pay(5), second!.pay(7)];
    expect(budget.spent).toEqual([]);
    third!.leave();
    await Promise.all(paid);
    expect(budget.spent).toEqual([12]);
  });

  it('that the budget cannot pay fails all that wait for it', async () => {
    const [first, second] = createBill(2, budgetOf(10));
    const paid = [first!.pay(5), second!.pay(7)];
    for (const each of paid) await expect(each).rejects.toThrow('too much');
  });

  it('is not paid where the request has failed, however its other images end', async () => {
    const budget = budgetOf();
    const [first, second, third] = createBill(3, budget);
    const paid = first!.pay(5);
    second!.fail(new Error('the maps are too large together'));
    second!.leave();
    third!.leave();
    await expect(paid).rejects.toThrow('too large together');
    expect(budget.spent).toEqual([]);
  });
});

describe('a request of two images', () => {
  /** The first is planned and waits for the bill; the other fails after that. */
  async function ask(failure: ServiceError): Promise<{ readonly spent: number[]; readonly outcome: unknown }> {
    const budget = budgetOf();
    const inference = {
      admission: { admit: () => () => undefined },
      statistics: { observeRequest: () => undefined },
      async answer({ name }: { name: string }, { share }: { share: ReturnType<typeof createBill>[number] }) {
        if (name === 'bad') {
          await new Promise(setImmediate);
          throw failure;
        }
        await share.pay(5);
        return { timing: {} };
      },
    } as unknown as Inference;
    const question = { model: { manifest: { name: 'net', version: '1' } }, input: { scales: [1], flip: false } };
    const context = { signal: new AbortController().signal, deadline: Infinity, priority: 0, budget };
    const asked = answerEach(
      inference,
      [{ name: 'good' }, { name: 'bad' }] as never,
      () => question as never,
      context as never,
    );
    const outcome = await asked.catch((error: unknown) => error);
    return { spent: budget.spent, outcome };
  }

  it('costs what its good image costs where the other fails alone', async () => {
    const { spent, outcome } = await ask(new ServiceError('IMAGE_UNDECODABLE', 'broken'));
    expect(outcome).toHaveLength(2);
    expect(spent).toEqual([5]);
  });

  it('costs nothing where it fails as a whole', async () => {
    const { spent, outcome } = await ask(new ServiceError('QUEUE_FULL', 'full'));
    expect(outcome).toMatchObject({ code: 'QUEUE_FULL' });
    expect(spent).toEqual([]);
  });
});
