/**
 * Whose item goes next among equal priorities: start-time fair queueing on two levels. Addresses share the workers, and the
 * connections of an address share its part. So a client that asks little goes before the backlog of one that asks much, and
 * opening more connections gains nothing against other addresses, nor does a new one for each request.
 *
 * Each level has a virtual time: the start of what was served last. What a client or a connection asks starts where its last
 * item would be over, had each its share, but not before virtual time. Both are measured in multiply-adds; what else an item
 * takes is told in as many of them as take that long. An item's place among those of its address is known when it arrives, its
 * turn among all of them when it is asked for: it depends on what else its address has waiting. Pure, apart from its own memory.
 *
 * Source: P. Goyal, H. Vin, H. Cheng, Start-time Fair Queuing, SIGCOMM 1996, with its hierarchical sharing.
 */

/** Who asks. */
export interface Flow {
  /** The client's address. */
  readonly client: string;
  /** A number that no other open connection has. */
  readonly connection: number;
  /** Nothing came on this connection before this request. Left out: something may have. */
  readonly isNew?: boolean;
}

/** What is known of an item when it arrives. */
export interface Share {
  /** When it would begin, had every connection of its address its share: that level's virtual time when it is served. */
  readonly start: number;
  /** Among the items of its address lower goes first. */
  readonly rank: number;
  /** What it takes, in multiply-adds. */
  readonly charge: number;
  /** Its connection has had less than its share: nothing that it asked before is ahead of virtual time. */
  readonly isLight: boolean;
}

/** Of the items of one client that wait. */
export interface ClientsItems {
  readonly all: number;
  /** Those that came on new connections. */
  readonly ofNew: number;
}

export interface FairShares {
  /** The share of a flow's next item, which costs so many multiply-adds, beside those of its client that wait. */
  shareOf(flow: Flow, cost: number, waiting: ClientsItems): Share;
  /** The turns of waiting items, lower goes first. Given in the order of service within each client. */
  turnsOf(items: readonly { readonly flow: Flow; readonly charge: number }[]): number[];
  /** An item is served now. */
  served(item: { readonly flow: Flow } & Pick<Share, 'start' | 'charge'>): void;
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

/** An address that has items waiting, or has had more than its share. */
interface Client {
  /** When its next item starts, by the virtual time of clients. */
  next: number;
  /** Of its connections. */
  virtualTime: number;
  /** When the last item of a connection would be over, of those that are ahead of `virtualTime`. */
  readonly connections: Map<number, number>;
}

export function createFairShares(): FairShares {
  const clients = new Map<string, Client>();
  let virtualTime = 0;

  function clientOf(name: string): Client {
    const client = clients.get(name) ?? { next: virtualTime, virtualTime: 0, connections: new Map<number, number>() };
    clients.set(name, client);
    if (clients.size > MAX_CLIENTS) {
      const hasNoPast = [...clients].find(([, { next }]) => next < virtualTime)?.[0];
      clients.delete(hasNoPast ?? clients.keys().next().value!);
    }
    return client;
  }

  return {
    shareOf({ client: name, connection, isNew = false }, cost, waiting) {
      const charge = Math.max(cost, LEAST_COST);
      // One with nothing to do and nothing ahead has no past.
      if (waiting.all === 0 && (clients.get(name)?.next ?? Infinity) <= virtualTime) clients.delete(name);
      const client = clientOf(name);
      for (const [each, finish] of client.connections) {
        if (finish <= client.virtualTime) client.connections.delete(each);
      }
      const own = client.connections.get(connection);
      const start = own ?? client.virtualTime;
      client.connections.set(connection, start + charge);
      if (client.connections.size > MAX_CONNECTIONS) client.connections.delete(client.connections.keys().next().value!);
      // A client's new connections take turns, as the requests of one connection would.
      const behind = own === undefined && isNew ? waiting.ofNew : 0;
      return { start, rank: start + behind * charge, charge, isLight: own === undefined && behind === 0 };
    },
    turnsOf(items) {
      const next = new Map<string, number>();
      return items.map(({ flow, charge }) => {
        const turn = next.get(flow.client) ?? clientOf(flow.client).next;
        next.set(flow.client, turn + charge);
        return turn;
      });
    },
    served({ flow, start, charge }) {
      const client = clientOf(flow.client);
      client.virtualTime = Math.max(client.virtualTime, start);
      virtualTime = Math.max(virtualTime, client.next);
      client.next += charge;
    },
    get known() {
      return [...clients.values()].reduce((sum, { connections }) => sum + connections.size, 0);
    },
  };
}
