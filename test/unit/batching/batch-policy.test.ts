import { describe, expect, it } from 'vitest';
import {
  decide,
  inOrderOfService,
  type BatchLimits,
  type Decision,
  type WaitingItem,
  type WaitingQueue,
  type WorkersNow,
} from '../../../src/batching/batch-policy.js';

const CPU: BatchLimits = { maxBatchSize: 4, maxBatchCost: 100, lingerMs: 0 };
const GPU: BatchLimits = { maxBatchSize: 4, maxBatchCost: 100, lingerMs: 10 };
const FEW: BatchLimits = { maxBatchSize: 8, maxBatchCost: 100, lingerMs: 10, batchSizes: [1, 2, 4, 8] };

function item(overrides: Partial<WaitingItem> = {}): WaitingItem {
  return {
    arrival: 0,
    deadline: Infinity,
    priority: 0,
    cost: 1,
    bytes: 0,
    turn: 0,
    flow: { client: 'x', connection: 1 },
    isLight: true,
    expectedMs: 0,
    ...overrides,
  };
}

function queue(items: readonly WaitingItem[], arrivalGapMs = Infinity, fixedCostMs = 5): WaitingQueue {
  return { items, arrivalGapMs, fixedCostMs };
}

/** Of two workers, or as many as are idle. */
function idleWorkers(idle: number): WorkersNow {
  return {
    count: Math.max(2, idle),
    idle,
    utilization: 0,
    freeBytes: Infinity,
    lastShort: -Infinity,
    lightCome: false,
  };
}

function items(count: number, overrides: Partial<WaitingItem> = {}): WaitingItem[] {
  return Array.from({ length: count }, () => item(overrides));
}

const cases: {
  name: string;
  queues: Record<string, WaitingQueue>;
  idle: number;
  limits: BatchLimits;
  now?: number;
  expected: Decision;
}[] = [
  {
    name: 'waits when nothing waits',
    queues: {},
    idle: 2,
    limits: CPU,
    expected: { action: 'wait' },
  },
  {
    name: 'gathers while every worker is busy',
    queues: { a: queue(items(9)) },
    idle: 0,
    limits: CPU,
    expected: { action: 'wait' },
  },
  {
    name: 'sends a single item to an idle worker at once',
    queues: { a: queue(items(1)) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'idle' },
  },
  {
    name: 'sends what has gathered as one batch',
    queues: { a: queue(items(3)) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 3, reason: 'idle' },
  },
  {
    name: 'shares the waiting items among the idle workers, rounding up',
    queues: { a: queue(items(3)) },
    idle: 2,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 2, reason: 'idle' },
  },
  {
    name: 'fills a batch up to its size',
    queues: { a: queue(items(9)) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 4, reason: 'full' },
  },
  {
    name: 'ends a batch before it costs too much',
    queues: { a: queue(items(3, { cost: 40 })) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 2, reason: 'cost' },
  },
  {
    name: 'sends one item that alone costs too much',
    queues: { a: queue(items(2, { cost: 1000 })) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'cost' },
  },
  {
    name: 'takes the key whose head came first',
    queues: { a: queue(items(3, { arrival: 5 })), b: queue(items(1, { arrival: 4 })) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'b', count: 1, reason: 'idle' },
  },
  {
    name: 'takes a higher priority before an earlier arrival',
    queues: { a: queue(items(1, { arrival: 5, priority: 1 })), b: queue(items(1, { arrival: 4 })) },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'idle' },
  },
  {
    name: 'takes a lower turn before an earlier arrival, and a higher priority before both',
    queues: {
      a: queue(items(1, { arrival: 5, turn: 3 })),
      b: queue(items(1, { arrival: 4, turn: 7 })),
      c: queue(items(1, { arrival: 6, turn: 9, priority: -1 })),
    },
    idle: 1,
    limits: CPU,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'idle' },
  },
  {
    name: 'lingers when the next arrival is expected to pay',
    queues: { a: queue(items(1, { arrival: 100 }), 2) },
    idle: 1,
    limits: GPU,
    now: 101,
    expected: { action: 'wait', until: 105 },
  },
  {
    name: 'lingers no longer than lingerMs for its oldest item',
    queues: { a: queue([item({ arrival: 92 }), item({ arrival: 100 })], 2) },
    idle: 1,
    limits: GPU,
    now: 101,
    expected: { action: 'wait', until: 102 },
  },
  {
    name: 'sends when the expected arrival did not come',
    queues: { a: queue(items(2, { arrival: 100 }), 2) },
    idle: 1,
    limits: GPU,
    now: 105,
    expected: { action: 'dispatch', key: 'a', count: 2, reason: 'linger' },
  },
  {
    name: 'does not linger when arrivals are further apart than what a run costs',
    queues: { a: queue(items(1, { arrival: 100 }), 6) },
    idle: 1,
    limits: GPU,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'linger' },
  },
  {
    name: 'does not linger with a full batch',
    queues: { a: queue(items(4, { arrival: 100 }), 2) },
    idle: 1,
    limits: GPU,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 4, reason: 'full' },
  },
  {
    name: 'does not linger past a deadline',
    queues: { a: queue(items(1, { arrival: 100, deadline: 103 }), 2) },
    idle: 1,
    limits: GPU,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'linger' },
  },
  {
    name: 'serves another key while one lingers',
    queues: { a: queue(items(1, { arrival: 100 }), 2), b: queue(items(1, { arrival: 101 }), 60) },
    idle: 1,
    limits: GPU,
    now: 101,
    expected: { action: 'dispatch', key: 'b', count: 1, reason: 'linger' },
  },
  {
    name: 'does not linger while several workers are idle, and shares what waits among them',
    queues: { a: queue(items(5, { arrival: 100 }), 0.5) },
    idle: 2,
    limits: FEW,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 2, reason: 'idle' },
  },
  {
    name: 'does not linger for a session whose runs have no fixed cost, as far as is known',
    queues: { a: queue(items(1, { arrival: 100 }), 0.1, 0) },
    idle: 1,
    limits: GPU,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 1, reason: 'linger' },
  },
  {
    name: 'sends the largest allowed count that waits',
    queues: { a: queue(items(7)) },
    idle: 1,
    limits: FEW,
    expected: { action: 'dispatch', key: 'a', count: 4, reason: 'linger' },
  },
  {
    name: 'sends the largest allowed count below the cap on cost',
    queues: { a: queue(items(8, { cost: 15 })) },
    idle: 1,
    limits: FEW,
    expected: { action: 'dispatch', key: 'a', count: 4, reason: 'cost' },
  },
  {
    name: 'waits for as many items as the next count takes, when all of them come sooner than they save',
    queues: { a: queue(items(2, { arrival: 100 }), 2) },
    idle: 1,
    limits: FEW,
    now: 101,
    expected: { action: 'wait', until: 102.5 },
  },
  {
    name: 'does not wait for one item when the next count takes more than come in time',
    queues: { a: queue(items(2, { arrival: 100 }), 3) },
    idle: 1,
    limits: FEW,
    now: 100,
    expected: { action: 'dispatch', key: 'a', count: 2, reason: 'linger' },
  },
];

describe('decide', () => {
  it.each(cases)('$name', ({ queues, idle, limits, now = 0, expected }) => {
    expect(decide(new Map(Object.entries(queues)), idleWorkers(idle), limits, now)).toEqual(expected);
  });
});

/** A small deterministic generator of numbers in [0, 1): mulberry32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomQueues(random: () => number): Map<string, WaitingQueue> {
  const integer = (below: number): number => Math.floor(random() * below);
  const keys = ['a', 'b', 'c', 'd'].slice(0, integer(5));
  return new Map(
    keys.map((key) => {
      const waiting = Array.from({ length: 1 + integer(12) }, () =>
        item({ arrival: integer(50), priority: integer(3), cost: integer(80), deadline: 50 + integer(200) }),
      );
      return [key, queue(waiting.sort(inOrderOfService), integer(10))];
    }),
  );
}

describe('decide, on random queues', () => {
  const seeds = Array.from({ length: 500 }, (_, seed) => seed);

  it('never exceeds a cap, except with a single item', () => {
    for (const seed of seeds) {
      const random = randomNumbers(seed);
      const queues = randomQueues(random);
      const limits = [CPU, GPU, FEW][Math.floor(random() * 3)]!;
      const decision = decide(queues, idleWorkers(1 + Math.floor(random() * 3)), limits, 50);
      if (decision.action === 'wait') continue;
      const batch = queues.get(decision.key)!.items.slice(0, decision.count);
      expect(batch).toHaveLength(decision.count);
      expect(decision.count).toBeGreaterThan(0);
      expect(decision.count).toBeLessThanOrEqual(limits.maxBatchSize);
      if (limits.batchSizes !== undefined) expect(limits.batchSizes).toContain(decision.count);
      const cost = batch.reduce((sum, { cost }) => sum + cost, 0);
      if (decision.count > 1) expect(cost).toBeLessThanOrEqual(limits.maxBatchCost);
    }
  });

  it('conserves work on a CPU: it waits only when nothing waits or no worker is idle', () => {
    for (const seed of seeds) {
      const random = randomNumbers(seed);
      const queues = randomQueues(random);
      const idle = Math.floor(random() * 3);
      const { action } = decide(queues, idleWorkers(idle), CPU, 50);
      expect(action).toBe(queues.size === 0 || idle === 0 ? 'wait' : 'dispatch');
    }
  });

  it('on a GPU, with an idle worker, waits only for a time in the future', () => {
    for (const seed of seeds) {
      const queues = randomQueues(randomNumbers(seed));
      const decision = decide(queues, idleWorkers(1), GPU, 50);
      if (decision.action === 'wait' && queues.size > 0) expect(decision.until).toBeGreaterThan(50);
    }
  });

  it('never starves a key: under a flood of another one an item is served before all that came after it', () => {
    const flood = items(40).map((_, index) => item({ arrival: index }));
    const queues = new Map([
      ['flood', { items: flood, arrivalGapMs: 1, fixedCostMs: 5 }],
      ['lone', { items: [item({ arrival: 10 })], arrivalGapMs: Infinity, fixedCostMs: 5 }],
    ]);
    const served: string[] = [];
    for (let now = 40; served.at(-1) !== 'lone'; now += 1) {
      const decision = decide(queues, idleWorkers(1), CPU, now);
      if (decision.action === 'wait') throw new Error('waited with an idle worker');
      queues.get(decision.key)!.items.splice(0, decision.count);
      flood.push(item({ arrival: now }), item({ arrival: now }), item({ arrival: now }), item({ arrival: now }));
      served.push(decision.key);
    }
    // Ten came before it, and they go in batches of four.
    expect(served).toEqual(['flood', 'flood', 'flood', 'lone']);
  });
});

describe('decide, where a run costs little beside its items', () => {
  const limits: BatchLimits = { maxBatchSize: 8, maxBatchCost: 100, lingerMs: 0, runOverhead: 0.1 };
  const taken = (waiting: number, workers: WorkersNow): number => {
    const decision = decide(new Map([['a', queue(items(waiting))]]), workers, limits, 0);
    if (decision.action === 'wait') throw new Error('waited with an idle worker');
    return decision.count;
  };

  it('takes items one by one while the workers have time to spare, so that none waits for those behind it', () => {
    expect(
      [1, 2, 4, 8, 16].map((waiting) =>
        taken(waiting, {
          count: 2,
          idle: 1,
          utilization: 0.5,
          freeBytes: Infinity,
          lastShort: -Infinity,
          lightCome: false,
        }),
      ),
    ).toEqual([1, 1, 1, 1, 1]);
  });

  it('takes full batches when very many wait and there is never a pause', () => {
    expect(
      taken(6, { count: 2, idle: 1, utilization: 1, freeBytes: Infinity, lastShort: -Infinity, lightCome: false }),
    ).toBe(4);
    expect(
      taken(130, {
        count: 2,
        idle: 1,
        utilization: 1,
        freeBytes: Infinity,
        lastShort: -Infinity,
        lightCome: false,
      }),
    ).toBe(8);
  });

  it('takes more the more wait, and the busier the workers are', () => {
    const byWaiting = [2, 8, 32, 128].map((waiting) =>
      taken(waiting, {
        count: 2,
        idle: 1,
        utilization: 0.8,
        freeBytes: Infinity,
        lastShort: -Infinity,
        lightCome: false,
      }),
    );
    expect(byWaiting).toEqual([1, 1, 3, 6]);
    const byUtilization = [0, 0.8, 0.95, 1].map((utilization) =>
      taken(16, { count: 2, idle: 1, utilization, freeBytes: Infinity, lastShort: -Infinity, lightCome: false }),
    );
    expect(byUtilization).toEqual([1, 2, 4, 6]);
  });

  it('does not have a light client wait for a batch of others, and takes many light clients together', () => {
    const busy = { count: 2, idle: 1, utilization: 1, freeBytes: Infinity, lastShort: -Infinity, lightCome: false };
    const count = (...kinds: readonly boolean[]): number => {
      const waiting = queue(kinds.map((isLight, turn) => item({ isLight, turn })));
      const decision = decide(new Map([['a', waiting]]), busy, limits, 0);
      return decision.action === 'wait' ? 0 : decision.count;
    };
    const heavy = Array.from({ length: 130 }, () => false);
    expect(count(true, ...heavy)).toBe(1);
    expect(count(...Array.from({ length: 10 }, () => true), ...heavy)).toBe(5);
    expect(count(...heavy, true)).toBe(8);
    expect(count(...heavy.map(() => true))).toBe(8);
  });

  it('takes others one by one while light clients come, so that none waits behind a batch', () => {
    const waiting = new Map([['a', queue(items(130).map((one) => ({ ...one, isLight: false })))]]);
    const countWhile = (lightCome: boolean): unknown =>
      decide(
        waiting,
        { count: 2, idle: 1, utilization: 1, freeBytes: Infinity, lastShort: -Infinity, lightCome },
        limits,
        0,
      );
    expect(countWhile(true)).toMatchObject({ count: 1 });
    expect(countWhile(false)).toMatchObject({ count: 8 });
  });

  it('takes no more than its share of what idle workers can take at the same time', () => {
    expect(
      taken(4, { count: 4, idle: 4, utilization: 1, freeBytes: Infinity, lastShort: -Infinity, lightCome: false }),
    ).toBe(1);
  });
});

describe('the last idle worker', () => {
  const long = queue(items(3, { expectedMs: 2000 }));
  const short = queue(items(1, { arrival: 5, turn: 9, expectedMs: 20 }));
  const one = { count: 2, idle: 1, utilization: 0.5, freeBytes: Infinity, lastShort: 1000, lightCome: false };
  const next = (queues: Record<string, WaitingQueue>, workers: WorkersNow = one, now = 1500) =>
    decide(new Map(Object.entries(queues)), workers, CPU, now);

  it('is kept from long runs for ten seconds after the last short one', () => {
    expect(next({ long })).toEqual({ action: 'wait', until: 11_000 });
    expect(next({ long }, one, 11_000)).toMatchObject({ action: 'dispatch', key: 'long' });
    expect(next({ long }, { ...one, lastShort: -Infinity, lightCome: false })).toMatchObject({
      action: 'dispatch',
      key: 'long',
    });
  });

  it('takes short runs meanwhile, whoever is before them', () => {
    expect(next({ long, short })).toMatchObject({ action: 'dispatch', key: 'short' });
  });

  it('is kept from nothing where it is the only one, or where others are idle too', () => {
    expect(next({ long }, { ...one, count: 1 })).toMatchObject({ action: 'dispatch', key: 'long' });
    expect(next({ long }, { ...one, idle: 2 })).toMatchObject({ action: 'dispatch', key: 'long' });
  });

  it('is kept although another should be idle by now: it may run for long still', () => {
    const overdue = { ...one, idle: 2, free: 1 };
    expect(next({ long }, overdue)).toEqual({ action: 'wait', until: 11_000 });
    expect(next({ long, short }, overdue)).toMatchObject({ action: 'dispatch', key: 'short' });
    expect(next({ long }, { ...overdue, free: 2 })).toMatchObject({ action: 'dispatch', key: 'long' });
  });
});

describe('memory', () => {
  const workers = { count: 4, idle: 2, utilization: 0.5, freeBytes: 100, lastShort: -Infinity, lightCome: false };
  const large = queue(items(2, { bytes: 120 }));
  const small = queue(items(6, { arrival: 5, bytes: 30 }));
  const next = (queues: Record<string, WaitingQueue>, now = 10) =>
    decide(new Map(Object.entries(queues)), { ...workers, idle: 1 }, CPU, now);

  it('ends a batch before it takes more than is free', () => {
    expect(next({ small })).toEqual({ action: 'dispatch', key: 'small', count: 3, reason: 'memory' });
  });

  it('keeps an item waiting that takes more than is free', () => {
    expect(next({ large })).toEqual({ action: 'wait', lacksMemory: true });
  });

  it('lets others pass such an item for two seconds', () => {
    expect(next({ large, small }, 1999)).toMatchObject({ key: 'small' });
    expect(next({ large, small }, 2000)).toEqual({ action: 'wait', lacksMemory: true });
  });

  it('counts what the next worker keeps for a queue as free for it', () => {
    const keptFor = (key: string): number => (key === 'large' ? 20 : 0);
    const queues = new Map(Object.entries({ large, small }));
    expect(decide(queues, { ...workers, idle: 1, keptFor }, CPU, 10)).toMatchObject({ key: 'large', count: 1 });
    expect(decide(queues, { ...workers, idle: 1, keptFor: () => 19 }, CPU, 10)).toMatchObject({ key: 'small' });
  });
});
