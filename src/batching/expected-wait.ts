/**
 * What a request that came now would wait for. Addresses share the workers, and so do the connections of one (fair-shares.ts):
 * who asks for much waits behind itself, and others do not.
 */
import type { Flow } from './fair-shares.js';

/** Who would ask. */
export interface Asker {
  readonly flow: Flow;
  /** Higher goes first. */
  readonly priority: number;
}

/**
 * Those of the waiting items that go before a request that came now: what its own connection has asked, the next item of each
 * other connection of its address, and of each other address as many as of its own and one. Items of higher priority all do, of
 * lower priority none. Keeps the order of the items, which is that of service.
 */
export function itemsBefore<Item extends Asker>(items: readonly Item[], { flow, priority }: Asker): Item[] {
  const own = new Set<Item>();
  const connections = new Set<number>();
  for (const item of items) {
    const { client, connection } = item.flow;
    if (item.priority !== priority || client !== flow.client) continue;
    if (connection === flow.connection || !connections.has(connection)) own.add(item);
    connections.add(connection);
  }
  const served = new Map<string, number>();
  return items.filter((item) => {
    if (item.priority !== priority) return item.priority > priority;
    const { client } = item.flow;
    if (client === flow.client) return own.has(item);
    const count = (served.get(client) ?? 0) + 1;
    served.set(client, count);
    return count <= own.size + 1;
  });
}
