import { describe, expect, it } from 'vitest';
import { itemsBefore } from '../../../src/batching/expected-wait.js';

describe('the items that a request waits for', () => {
  let made = 0;
  const item = (client: string, connection: number, priority = 0) => ({
    name: `${client}${connection}/${(made += 1)}`,
    flow: { client, connection },
    priority,
  });
  const of = (client: string, connection: number, count: number) =>
    Array.from({ length: count }, () => item(client, connection));

  it('are all that its own connection has asked', () => {
    const items = of('a', 1, 3);
    expect(itemsBefore(items, item('a', 1))).toEqual(items);
  });

  it('are one of each other connection of its address, however much that has asked', () => {
    const [first, second] = [of('a', 1, 16), of('a', 2, 3)];
    expect(itemsBefore([...first, ...second], item('a', 3))).toEqual([first[0], second[0]]);
  });

  it('are of each other address as many as of its own, and one', () => {
    const [others, more, own] = [of('b', 1, 64), of('c', 2, 1), of('a', 3, 1)];
    expect(itemsBefore([...others, ...more, ...own], item('a', 4))).toEqual([...others.slice(0, 2), ...more, ...own]);
    expect(itemsBefore(others, item('a', 4))).toEqual(others.slice(0, 1));
  });

  it('are all of higher priority, and none of lower', () => {
    const urgent = [item('b', 1, 5), item('b', 1, 5)];
    expect(itemsBefore([...urgent, item('a', 1, -5), item('b', 2, -5)], item('a', 1))).toEqual(urgent);
    expect(itemsBefore([...urgent, ...of('b', 2, 9)], item('a', 1, -1))).toHaveLength(11);
  });
});
