/**
 * Whose item goes next among equal priorities: start-time fair queueing. Each connection is a flow. An item's turn is the
 * virtual time at which its flow's earlier items would be over if every flow had its share of the workers, so a client
 * that asks little goes before the backlog of one that asks much. An address shares one client's part among its
 * connections: opening more of them gains nothing against other addresses, nor does a new one for each request.
 *
 * Virtual time is the start of the item served last. It is measured in multiply-adds; what else an item takes is told in as
 * many of them as take that long. Pure, apart from its own memory.
 *
 * Source: P. Goyal, H. Vin, H. Cheng, Start-time Fair Queuing, SIGCOMM 1996.
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

export interface Turn {
  /** When it would begin, had every flow its share: virtual time when it is served. */
  readonly start: number;
  /** Lower goes first. */
  readonly turn: number;
  /** Its flow has had less than its share of the workers: nothing that it asked before is ahead of virtual time. */
  readonly isLight: boolean;
}

export interface FairShares {
  /**
   * The turn of a flow's next item, which costs so many multiply-adds. `newWaiting`: items of the same client that came on new
   * connections and wait.
   */
  turnOf(flow: Flow, cost: number, newWaiting: number): Turn;
  /** An item is served now. */
  served(turn: Pick<Turn, 'start'>): void;
  /** How many flows have a past that is known. */
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

export function createFairShares(): FairShares {
  /** By client and connection, when the flow's last item would be over. Only flows that are ahead of virtual time. */
  const clients = new Map<string, Map<number, number>>();
  let virtualTime = 0;

  /** The client's flows that are ahead; those that are not have no past. */
  function flowsOf(client: string): Map<number, number> {
    const flows = clients.get(client) ?? new Map<number, number>();
    for (const [connection, finish] of flows) if (finish <= virtualTime) flows.delete(connection);
    clients.set(client, flows);
    forgetOldest(clients, MAX_CLIENTS);
    return flows;
  }

  return {
    turnOf({ client, connection, isNew = false }, asked, newWaiting) {
      const cost = Math.max(asked, LEAST_COST);
      const flows = flowsOf(client);
      const own = flows.get(connection);
      const start = own ?? virtualTime;
      const sharing = own === undefined ? flows.size + 1 : flows.size;
      flows.set(connection, start + cost * sharing);
      forgetOldest(flows, MAX_CONNECTIONS);
      // A client's new connections take turns, as the requests of one connection would.
      const behind = own === undefined && isNew ? newWaiting : 0;
      return { start, turn: start + behind * cost, isLight: own === undefined && behind === 0 };
    },
    get known() {
      return [...clients.values()].reduce((sum, { size }) => sum + size, 0);
    },
    served({ start }) {
      if (start <= virtualTime) return;
      virtualTime = start;
      for (const client of clients.keys()) if (flowsOf(client).size === 0) clients.delete(client);
    },
  };
}

function forgetOldest<Key>(map: Map<Key, unknown>, most: number): void {
  if (map.size > most) map.delete(map.keys().next().value!);
}
