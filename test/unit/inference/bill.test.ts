import { describe, expect, it } from 'vitest';
import { createBill } from '../../../src/inference/bill.js';

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
