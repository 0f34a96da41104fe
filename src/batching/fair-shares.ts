/**
 * Whose item goes next among equal priorities: start-time fair queueing on two levels. Addresses share the workers, and the
 * connections of an address share its part. So a client that asks little goes before the backlog of one that asks much, and
 * opening more connections gains nothing against other addresses, nor does a new one for each request.
 *
 * Each level has a virtual time. What a client or a connection asks starts where its last item would be over, had each its
 * share, but not before virtual time. Virtual time is the start of what was served last. Within an address it goes on a little
 * with each item, too: new connections are before those that have just had an answer, and behind those that wait. All of this is
 * measured in multiply-adds; what else an item takes is told in as many of them as take that long.
 *
 * An item's rank among those of its address is known when it arrives. Its turn among all items is told when it is asked for: it
 * depends on what else its address has waiting. Pure, apart from its own memory.
 *
 * Source: P. Goyal, H. Vin, H. Cheng, Start-time Fair Queuing, SIGCOMM 1996, with its hierarchical sharing.
 */

/** Who asks. */
export interface Flow {
  /** The client's address. */
  readonly client: string;
  /** A number that no other open connection has. */
  readonly connection: number;
}

/** What is known of an item when it arrives. */
export interface Share {
  /** When it would begin, had every connection of its address its share. */
  readonly start: number;
  /** Among the items of its address lower goes first. */
  readonly rank: number;
  /** What it moves its connection on, in multiply-adds. */
  readonly step: number;
  /** What it moves its address on. */
  readonly charge: number;
  /** Nothing that its connection asked before is ahead of virtual time. */
  readonly isAhead: boolean;
}

/** An item that arrives. What it takes is in multiply-adds. */
export interface Arrival {
  readonly cost: number;
  /**
   * What its address's other connections hold against it. It may be less: who sends photographs of several sizes on several
   * connections wants each answered after about the same time.
   */
  readonly costAmongOwn: number;
  /** Its connection asks little (light-connections.ts): it goes before the others of its address. */
  readonly isLight: boolean;
  /** All that its connection asked before has its answer. */
  readonly isSingle: boolean;
}

export interface FairShares {
  /** The share of a flow's next item. `waiting`: how many of its client's wait. */
  shareOf(flow: Flow, arrival: Arrival, waiting: number): Share;
  /** The turns of waiting items, lower goes first. Given in the order of service within each client. */
  turnsOf(items: readonly { readonly flow: Flow; readonly charge: number }[]): number[];
  /** An item is served now. `waiting`: how many of its client's wait, with this one. */
  served(item: { readonly flow: Flow } & Share, waiting: number): void;
  /** How many connections have a past that is known. */
  readonly known: number;
}

/** Even an item without a known cost moves its flow on. */
const LEAST_COST = 1e6;

/**
 * Clients, and connections of one, whose past is known. Beyond these the oldest is forgotten, and has its next turn at once:
 * each request looks through them, and each client may have a new connection for each request.
 */
const MAX_CLIENTS = 256;
const MAX_CONNECTIONS = 512;

/**
 * Items that a connection may be ahead of the others of its address, if it asks one after the other: its next has the turn of the
 * moment when it arrives. A pool of connections gives most requests to those that were free last, and nobody has asked too much.
 */
const TOLERANCE = 8;
/** Weight of the newest item in the running mean of what an item of an address takes. */
const STEP_WEIGHT = 1 / 32;

/**
 * Part of an item: how far the virtual time of an address goes beyond the start of what was served last. Items one after the other
 * of connections that have nothing ahead take virtual time along, up to the end of each, so that a connection that goes on asking
 * is not behind all of them.
 */
const BEYOND = 1 / 16;

/** An address that has items waiting, or has had more than its share. */
interface Client {
  /** When its next item starts, by the virtual time of clients. */
  next: number;
  /** Of its connections. */
  virtualTime: number;
  /** What an item of it moves its connection on, on average. */
  step: number;
  /** When the last item of a connection would be over, of those that are ahead of `virtualTime`. */
  readonly connections: Map<number, number>;
}

export function createFairShares(): FairShares {
  const clients = new Map<string, Client>();
  let virtualTime = 0;

  function clientOf(name: string): Client {
    const client = clients.get(name) ?? {
      next: virtualTime,
      virtualTime: 0,
      step: LEAST_COST,
      connections: new Map<number, number>(),
    };
    clients.set(name, client);
    if (clients.size > MAX_CLIENTS) {
      const hasNoPast = [...clients].find(([, { next }]) => next < virtualTime)?.[0];
      clients.delete(hasNoPast ?? clients.keys().next().value!);
    }
    return client;
  }

  return {
    shareOf({ client: name, connection }, { cost, costAmongOwn, isLight, isSingle }, waiting) {
      // One with nothing to do and nothing ahead has no past.
      if (waiting === 0 && (clients.get(name)?.next ?? Infinity) <= virtualTime) clients.delete(name);
      const client = clientOf(name);
      for (const [each, finish] of client.connections) {
        if (finish < client.virtualTime) client.connections.delete(each);
      }
      const own = client.connections.get(connection);
      const step = Math.max(costAmongOwn, LEAST_COST);
      const start = own ?? client.virtualTime;
      client.connections.set(connection, start + step);
      if (client.connections.size > MAX_CONNECTIONS) client.connections.delete(client.connections.keys().next().value!);
      const isAhead = own === undefined;
      client.step += STEP_WEIGHT * (step - client.step);
      const isTolerated = isSingle && start - client.virtualTime <= TOLERANCE * Math.min(step, client.step);
      const turn = isTolerated ? client.virtualTime : start;
      const rank = isLight ? -Infinity : turn;
      return { start, rank, step, charge: Math.max(cost, LEAST_COST), isAhead };
    },
    turnsOf(items) {
      const next = new Map<string, number>();
      return items.map(({ flow, charge }) => {
        const turn = next.get(flow.client) ?? clientOf(flow.client).next;
        next.set(flow.client, turn + charge);
        return turn;
      });
    },
    served({ flow, start, step, charge, isAhead }, waiting) {
      const client = clientOf(flow.client);
      const goneOn = client.virtualTime + step / Math.max(1, waiting);
      const furthest = start + step * (isAhead ? 1 : BEYOND);
      client.virtualTime = Math.max(client.virtualTime, start, Math.min(goneOn, furthest));
      virtualTime = Math.max(virtualTime, client.next);
      client.next += charge;
    },
    get known() {
      return [...clients.values()].reduce((sum, { connections }) => sum + connections.size, 0);
    },
  };
}
