import { describe, expect, it } from 'vitest';
import { createLightConnections } from '../../../src/batching/light-connections.js';

const flow = (connection: number) => ({ client: 'x', connection });

/** Connections that ask again `pauseMs` after each answer, which takes `tookMs`; how many of their items are light. */
function asking(
  light: ReturnType<typeof createLightConnections>,
  {
    connections,
    pauseMs,
    tookMs,
    rounds = 10,
    waiting = 30,
  }: { connections: readonly number[]; pauseMs: number; tookMs: number; rounds?: number; waiting?: number },
): boolean[] {
  let now = 0;
  return Array.from({ length: rounds }).flatMap(() => {
    const seen = connections.map((connection) => light.arrived(flow(connection), waiting, now).isLight);
    for (const connection of connections) light.answered(flow(connection), now, now + tookMs);
    now += tookMs + pauseMs;
    return seen;
  });
}

describe('light connections', () => {
  it('are those that are idle longer than their answers take', () => {
    const light = createLightConnections();
    const busy = Array.from({ length: 32 }, (_, index) => index);
    asking(light, { connections: busy, pauseMs: 1, tookMs: 600 });
    expect(asking(light, { connections: [100], pauseMs: 50, tookMs: 20, rounds: 5 })).toEqual(Array(5).fill(true));
    expect(asking(light, { connections: [101], pauseMs: 5, tookMs: 20, rounds: 3 })).toEqual([true, false, false]);
  });

  it('are not those that ask again while an item of theirs has no answer', () => {
    const light = createLightConnections();
    asking(light, { connections: [1], pauseMs: 0, tookMs: 10, rounds: 60 });
    expect(light.arrived(flow(2), 30, 1000).isLight).toBe(true);
    expect(light.arrived(flow(2), 30, 5000).isLight).toBe(false);
    light.answered(flow(2), 1000, 5100);
    expect(light.arrived(flow(2), 30, 20_000).isLight).toBe(false);
  });

  it('are none where nearly all connections are idle between their requests', () => {
    const light = createLightConnections();
    const users = Array.from({ length: 64 }, (_, index) => index);
    const seen = asking(light, { connections: users, pauseMs: 2000, tookMs: 100 });
    expect(seen.slice(64)).not.toContain(true);
  });

  it('are none without a backlog: nobody waits', () => {
    const light = createLightConnections();
    asking(light, { connections: [1], pauseMs: 0, tookMs: 10, rounds: 60 });
    expect(asking(light, { connections: [2], pauseMs: 50, tookMs: 20, waiting: 3 })).not.toContain(true);
  });

  it('keep coming when they have come for longer than a burst, until none has come for two seconds', () => {
    const light = createLightConnections();
    asking(light, { connections: [1], pauseMs: 0, tookMs: 10, rounds: 120 });
    const comeAt = [1000, 1050, 1250, 3000, 5100].map((now) => {
      expect(light.arrived(flow(now), 30, now).isLight).toBe(true);
      return light.come(now);
    });
    expect(comeAt).toEqual([false, false, true, true, false]);
    expect(light.come(4999)).toBe(false);
  });

  it('are none of many that all ask all the time', () => {
    const seen = asking(createLightConnections(), {
      connections: Array.from({ length: 32 }, (_, index) => index),
      pauseMs: 1,
      tookMs: 600,
    });
    expect(seen.slice(32)).not.toContain(true);
  });

  it('leave no memory behind for connections that have long gone', () => {
    const light = createLightConnections();
    for (let connection = 0; connection < 20_000; connection++) {
      light.arrived(flow(connection), 30, connection);
      if (connection % 2 === 0) light.answered(flow(connection), connection, connection + 1);
    }
    expect(light.known).toBeLessThanOrEqual(4096);
  });
});
