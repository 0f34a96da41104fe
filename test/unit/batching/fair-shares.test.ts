import { describe, expect, it } from 'vitest';
import { createFairShares, type FairShares, type Flow } from '../../../src/batching/fair-shares.js';

const flow = (client: string, connection: number): Flow => ({ client, connection });

interface Waiting {
  readonly name: string;
  readonly from: Flow;
  readonly start: number;
  readonly turn: number;
}

/** Add items to those that wait, and serve them all in the order of their turns. */
function queueOf(shares: FairShares) {
  const waiting: Waiting[] = [];
  return {
    add(name: string, from: Flow, cost: number): void {
      const newWaiting = waiting.filter((item) => item.from.isNew === true && item.from.client === from.client).length;
      waiting.push({ name, from, ...shares.turnOf(from, cost, newWaiting) });
    },
    serve(): string | undefined {
      const next = waiting.reduce<Waiting | undefined>(
        (a, b) => (a === undefined || b.turn < a.turn ? b : a),
        undefined,
      );
      if (next === undefined) return undefined;
      waiting.splice(waiting.indexOf(next), 1);
      shares.served(next);
      return next.name;
    },
  };
}

describe('fair shares', () => {
  it('serve one flow in the order of arrival', () => {
    const queue = queueOf(createFairShares());
    for (const name of ['a', 'b', 'c']) queue.add(name, flow('x', 1), 1e9);
    expect([queue.serve(), queue.serve(), queue.serve()]).toEqual(['a', 'b', 'c']);
  });

  it('serve a client that asks little before the backlog of one that asks much', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 50; index++) queue.add('heavy', flow('h', 1), 1e9);
    expect(queue.serve()).toBe('heavy');
    queue.add('light', flow('l', 2), 1e8);
    expect([queue.serve(), queue.serve(), queue.serve()]).toContain('light');
  });

  it('give clients with a backlog equal parts of the cost', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 100; index++) queue.add('large', flow('a', 1), 4e9);
    for (let index = 0; index < 400; index++) queue.add('small', flow('b', 2), 1e9);
    const served = Array.from({ length: 200 }, () => queue.serve());
    const costs = { large: 4, small: 1 };
    const sum = (name: 'large' | 'small') => served.filter((each) => each === name).length * costs[name];
    expect(sum('large') / sum('small')).toBeCloseTo(1, 1);
  });

  it('give an address no more for several connections', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 100; index++) {
      for (let connection = 0; connection < 8; connection++) queue.add('many', flow('m', connection), 1e9);
      queue.add('one', flow('o', 99), 1e9);
    }
    const served = Array.from({ length: 100 }, () => queue.serve());
    expect(served.filter((name) => name === 'one').length).toBeGreaterThan(40);
  });

  it('share the part of an address among its connections', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 100; index++) queue.add('busy', flow('a', 1), 1e9);
    queue.serve();
    queue.add('new', flow('a', 2), 1e9);
    expect([queue.serve(), queue.serve()]).toContain('new');
  });

  it('grant no credit for the time in which a flow asked nothing', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 20; index++) queue.add('a', flow('a', 1), 1e9);
    for (let index = 0; index < 10; index++) queue.serve();
    for (let index = 0; index < 10; index++) queue.add('b', flow('b', 2), 1e9);
    const served = Array.from({ length: 10 }, () => queue.serve());
    expect(served.filter((name) => name === 'a').length).toBeGreaterThanOrEqual(4);
  });

  it('call a client light whose earlier work would be over, had every client its share', () => {
    const shares = createFairShares();
    const ask = (client: string): boolean => {
      const turn = shares.turnOf(flow(client, 1), 1e9, 0);
      shares.served(turn);
      return turn.isLight;
    };
    expect([ask('busy'), ask('busy'), ask('busy')]).toEqual([true, false, false]);
    expect([ask('light'), ask('light')]).toEqual([true, false]);
    for (let turn = 0; turn < 3; turn++) ask('busy');
    expect(ask('light')).toBe(true);
  });

  it('give a client with a new connection for each request no more than one with one connection', () => {
    const queue = queueOf(createFairShares());
    queue.add('steady', flow('s', 1), 1e9);
    queue.serve();
    for (let index = 0; index < 50; index++) queue.add('flood', { ...flow('f', 100 + index), isNew: true }, 1e9);
    queue.add('steady', flow('s', 1), 1e9);
    expect(Array.from({ length: 4 }, () => queue.serve())).toContain('steady');
  });

  it.each(['of one client', 'each of another client'])('forget the oldest of many connections, %s', (whose) => {
    const shares = createFairShares();
    for (let index = 0; index < 5000; index++) {
      const from = flow(whose === 'of one client' ? 'x' : `client ${index}`, index);
      const turn = shares.turnOf({ ...from, isNew: true }, 1e9, 0);
      if (index % 2 === 0) shares.served(turn);
    }
    expect(shares.known).toBeLessThanOrEqual(512);
  });

  it('let a new connection go before the backlog of others at the same address', () => {
    const queue = queueOf(createFairShares());
    for (let turn = 0; turn < 2; turn++) {
      for (let index = 0; index < 32; index++) queue.add('heavy', { ...flow('x', index), isNew: turn === 0 }, 1e9);
      for (let index = 0; index < 32; index++) queue.serve();
    }
    for (let index = 0; index < 32; index++) queue.add('heavy', flow('x', index), 1e9);
    queue.add('light', { ...flow('x', 100), isNew: true }, 1e9);
    expect([queue.serve(), queue.serve()]).toContain('light');
  });
});
