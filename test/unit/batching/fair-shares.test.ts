import { describe, expect, it } from 'vitest';
import {
  createFairShares,
  type Arrival,
  type FairShares,
  type Flow,
  type Share,
} from '../../../src/batching/fair-shares.js';

const flow = (client: string, connection: number): Flow => ({ client, connection });

const costs = (cost: number): Arrival => ({ cost, costAmongOwn: cost, isLight: false, isSingle: false });

interface Waiting extends Share {
  readonly name: string;
  readonly flow: Flow;
}

/** Add items to those that wait, and serve them all in the order of their turns. */
function queueOf(shares: FairShares) {
  const waiting: Waiting[] = [];
  const countOf = ({ client }: Flow): number => waiting.filter((item) => item.flow.client === client).length;
  return {
    add(name: string, from: Flow, cost: number, arrival: Partial<Arrival> = {}): void {
      waiting.push({ name, flow: from, ...shares.shareOf(from, { ...costs(cost), ...arrival }, countOf(from)) });
    },
    serve(): string | undefined {
      const inOrder = waiting.toSorted((a, b) => a.rank - b.rank);
      const turns = shares.turnsOf(inOrder);
      const next = inOrder[turns.indexOf(Math.min(...turns))];
      if (next === undefined) return undefined;
      shares.served(next, countOf(next.flow));
      waiting.splice(waiting.indexOf(next), 1);
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

  it('have a client go ahead whose earlier work would be over, had every client its share', () => {
    const shares = createFairShares();
    const ask = (client: string): boolean => {
      const share = shares.shareOf(flow(client, 1), costs(1e9), 0);
      shares.served({ flow: flow(client, 1), ...share }, 1);
      return share.isAhead;
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
    for (let index = 0; index < 50; index++) queue.add('flood', flow('f', 100 + index), 1e9);
    queue.add('steady', flow('s', 1), 1e9);
    expect(Array.from({ length: 4 }, () => queue.serve())).toContain('steady');
  });

  it.each(['of one client', 'each of another client'])('forget the oldest of many connections, %s', (whose) => {
    const shares = createFairShares();
    for (let index = 0; index < 5000; index++) {
      const from = flow(whose === 'of one client' ? 'x' : `client ${index}`, index);
      const share = shares.shareOf(from, costs(1e9), 0);
      if (index % 2 === 0) shares.served({ flow: from, ...share }, 1);
    }
    expect(shares.known).toBeLessThanOrEqual(512);
  });

  it('let a new connection go before the backlog of others at the same address', () => {
    const queue = queueOf(createFairShares());
    for (let turn = 0; turn < 2; turn++) {
      for (let index = 0; index < 32; index++) queue.add('heavy', flow('x', index), 1e9);
      for (let index = 0; index < 32; index++) queue.serve();
    }
    for (let index = 0; index < 32; index++) queue.add('heavy', flow('x', index), 1e9);
    queue.add('light', flow('x', 100), 1e9);
    expect([queue.serve(), queue.serve()]).toContain('light');
  });

  it('do not have a connection pay for the others of its address, beyond its own work', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 64; index++) queue.add('pooled', flow('proxy', index), 1e9);
    for (let index = 0; index < 64; index++) queue.serve();
    for (let index = 0; index < 4; index++) queue.add('busy', flow('proxy', index), 1e9);
    for (let index = 0; index < 100; index++) queue.add('other', flow('other', 100), 1e9);
    queue.add('again', flow('proxy', 40), 1e9);
    expect(Array.from({ length: 12 }, () => queue.serve())).toContain('again');
  });

  it('give an address no more for asking on one connection after another', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 400; index++) queue.add('steady', flow('s', 1), 1e9);
    const served: (string | undefined)[] = [];
    for (let connection = 0; served.length < 400; served.push(queue.serve())) {
      // One at a time.
      if (served.length === 0 || served.at(-1) === 'large')
        queue.add('large', flow('rotating', connection++ % 16), 9e9);
    }
    const count = (name: string): number => served.filter((each) => each === name).length;
    expect((9 * count('large')) / count('steady')).toBeCloseTo(1, 0);
  });

  it('have a costly item on a new connection wait for those before it, not for as many as costly as itself', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 20; index++) queue.add('first', flow('x', index), 1e9);
    queue.add('costly', flow('x', 20), 20e9);
    for (let index = 21; index < 60; index++) queue.add('later', flow('x', index), 1e9);
    expect(Array.from({ length: 21 }, () => queue.serve())).toContain('costly');
  });

  it('have none of several connections go ahead that ask as much as each other', () => {
    const shares = createFairShares();
    const items = [1, 2, 3].map((connection) => flow('x', connection));
    const round = (): boolean[] => {
      const waiting = items.map((from, all) => ({
        flow: from,
        ...shares.shareOf(from, costs(1e9), all),
      }));
      waiting.forEach((item, index) => shares.served(item, 3 - index));
      return waiting.map(({ isAhead }) => isAhead);
    };
    round();
    for (let count = 0; count < 5; count++) expect(round()).toEqual([false, false, false]);
  });

  it('let a light connection go before the others of its address, which ask all the time', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 32; index++) queue.add('heavy', flow('x', index), 1e9);
    for (let index = 0; index < 5 * 32 + 7; index++) {
      queue.serve();
      queue.add('heavy', flow('x', index % 32), 1e9);
    }
    queue.add('light', flow('x', 100), 1e9, { isLight: true });
    expect(queue.serve()).toBe('light');
  });

  it('answer a pool of connections in the order of arrival, which gives most requests to a few of them', () => {
    const queue = queueOf(createFairShares());
    const single = { isSingle: true };
    const served: (string | undefined)[] = [];
    // The first connection is free again after each answer, and is asked first.
    for (let index = 0; index < 6; index++) {
      queue.add(`hot ${index}`, flow('x', 1), 1e9, single);
      queue.add(`cold ${index}`, flow('x', 2 + index), 1e9, single);
      served.push(queue.serve(), queue.serve());
    }
    expect(served).toEqual(Array.from({ length: 6 }, (_, index) => [`hot ${index}`, `cold ${index}`]).flat());
  });

  it('have a connection that asks far more than the others of its address wait for them', () => {
    const queue = queueOf(createFairShares());
    const served: (string | undefined)[] = [];
    const ask = (connection: number): void =>
      queue.add(`${connection}`, flow('x', connection), connection === 0 ? 20e9 : 1e9, { isSingle: true });
    for (let connection = 0; connection < 8; connection++) ask(connection);
    for (let turn = 0; turn < 400; turn++) {
      served.push(queue.serve());
      ask(Number(served.at(-1)));
    }
    // One in turn with the others would be 50.
    expect(served.filter((name) => name === '0').length).toBeLessThan(15);
  });

  it('answer connections that all begin now in the order of arrival', () => {
    const queue = queueOf(createFairShares());
    for (let index = 0; index < 32; index++) queue.add(`first of ${index}`, flow('x', index), 1e9);
    const served = Array.from({ length: 32 }, (_, index) => {
      const name = queue.serve();
      queue.add('second', flow('x', index), 1e9);
      return name;
    });
    expect(served).toEqual(served.map((_, index) => `first of ${index}`));
  });

  it('do not have a connection starve beside new ones of its address', () => {
    const queue = queueOf(createFairShares());
    queue.add('steady', flow('x', 1), 1e9);
    for (let index = 0; index < 8; index++) queue.add('new', flow('x', 100 + index), 1e9);
    queue.serve();
    queue.add('steady', flow('x', 1), 1e9);
    const served = Array.from({ length: 24 }, (_, index) => {
      queue.add('new', flow('x', 200 + index), 1e9);
      return queue.serve();
    });
    expect(served).toContain('steady');
  });
});
