/**
 * Whose item goes next among equal priorities: start-time fair queueing. Each connection is a flow. An item's turn is the
 * virtual time at which its flow's earlier items would be over if every flow had its share of the workers, so a client
 * that asks little goes before the backlog of one that asks much. An address shares one client's part among its
 * connections: opening more of them gains nothing against other addresses.
 *
 * Virtual time is the turn of the item served last. It is measured in multiply-adds; what else an item takes is told in as
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
}

export interface Turn {
  /** Lower goes first. */
  readonly turn: number;
  /** Its flow has had less than its share of the workers: nothing that it asked before is ahead of virtual time. */
  readonly isLight: boolean;
}

export interface FairShares {
  /** The turn of a flow's next item, which costs so many multiply-adds. */
  turnOf(flow: Flow, cost: number): Turn;
  /** An item with this turn is served now. */
  served(turn: number): void;
}

/** Even an item without a known cost moves its flow on. */
const LEAST_COST = 1e6;

export function createFairShares(): FairShares {
  /** By client and connection, when the flow's last item would be over. Only flows that are ahead of virtual time. */
  const clients = new Map<string, Map<number, number>>();
  let virtualTime = 0;

  /** The client's flows that are ahead; those that are not have no past. */
  function flowsOf(client: string): Map<number, number> {
    const flows = clients.get(client) ?? new Map<number, number>();
    for (const [connection, finish] of flows) if (finish <= virtualTime) flows.delete(connection);
    clients.set(client, flows);
    return flows;
  }

  return {
    turnOf({ client, connection }, cost) {
      const flows = flowsOf(client);
      const isLight = !flows.has(connection);
      const turn = flows.get(connection) ?? virtualTime;
      const sharing = isLight ? flows.size + 1 : flows.size;
      flows.set(connection, turn + Math.max(cost, LEAST_COST) * sharing);
      return { turn, isLight };
    },
    served(turn) {
      if (turn <= virtualTime) return;
      virtualTime = turn;
      for (const client of clients.keys()) if (flowsOf(client).size === 0) clients.delete(client);
    },
  };
}
