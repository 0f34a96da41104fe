/**
 * Several equal servers behind a balancer, simulated: each has workers that take one image after the other, all alike. What it leaves
 * out: batches, images that cost more than others, and what the balancer itself takes. Pure.
 */
import { randomInt, randomLcg } from 'd3-random';
import { poissonArrivals } from './arrivals.js';
import { latencyOf } from './statistics.js';

/** A server: `workers` that each take `serviceMs` for an image, decoding included. */
export interface ReplicaSpec {
  readonly workers: number;
  readonly serviceMs: number;
}

/**
 * How the balancer chooses: the server with the fewest images, any of them where several have as few; or any, as connections that are
 * made once and kept are spread.
 */
export type Choice = 'least' | 'random';

/** `arrivals`: rising, in milliseconds. Latencies in their order. */
export function fleetLatencies(
  arrivals: readonly number[],
  replicas: number,
  { workers, serviceMs }: ReplicaSpec,
  choice: Choice,
  seed = 1,
): number[] {
  const random = randomInt.source(randomLcg(seed));
  const servers = Array.from({ length: replicas }, () => ({
    freeAt: new Array<number>(workers).fill(-Infinity),
    /** When images leave, rising; those before `gone` have left. */
    ends: [] as number[],
    gone: 0,
  }));
  type Server = (typeof servers)[number];

  const present = (server: Server, now: number): number => {
    while (server.gone < server.ends.length && server.ends[server.gone]! <= now) server.gone++;
    return server.ends.length - server.gone;
  };
  function choose(now: number): Server {
    const first = random(replicas)();
    if (choice === 'random') return servers[first]!;
    let best = servers[first]!;
    for (let step = 1; step < replicas && present(best, now) > 0; step++) {
      const next = servers[(first + step) % replicas]!;
      if (present(next, now) < present(best, now)) best = next;
    }
    return best;
  }

  return arrivals.map((arrival) => {
    const server = choose(arrival);
    const worker = server.freeAt.indexOf(Math.min(...server.freeAt));
    const end = Math.max(arrival, server.freeAt[worker]!) + serviceMs;
    server.freeAt[worker] = end;
    server.ends.push(end);
    return end - arrival;
  });
}

export interface Demand {
  /** Images a second, of clients that know nothing of each other. */
  readonly perSecond: number;
  /** What the 99th percentile may be. */
  readonly p99Ms: number;
  /** The largest part of the workers' time that may be used, below 1. */
  readonly mostLoad: number;
}

export interface Fleet {
  readonly replicas: number;
  /** Part of the workers' time that is used, 0 to 1. */
  readonly load: number;
  readonly p99Ms: number;
}

/** Images of a simulation, after as many that fill the queues. */
const IMAGES = 20_000;
/** A fleet that cannot do it with this part of its time unused cannot do it at all: one image takes too long. */
const LEAST_LOAD = 0.02;

/** The fewest replicas that meet the demand; undefined where none do. */
export function replicasFor(
  { perSecond, p99Ms, mostLoad }: Demand,
  replica: ReplicaSpec,
  choice: Choice,
): Fleet | undefined {
  const arrivals = poissonArrivals(perSecond, (2 * IMAGES) / perSecond, 1);
  const busy = (perSecond * replica.serviceMs) / 1000 / replica.workers;
  const meets = (replicas: number): Fleet | undefined => {
    const latencies = fleetLatencies(arrivals, replicas, replica, choice).slice(IMAGES);
    const { p99Ms: reached } = latencyOf(latencies);
    return reached <= p99Ms ? { replicas, load: busy / replicas, p99Ms: reached } : undefined;
  };
  if (replica.serviceMs > p99Ms) return undefined;
  // More replicas never have a longer p99, but for chance.
  let tooFew = Math.max(1, Math.ceil(busy / mostLoad)) - 1;
  let most = Math.max(1, Math.ceil(busy / LEAST_LOAD));
  let found = meets(most);
  while (found !== undefined && most - tooFew > 1) {
    const middle = Math.floor((tooFew + most) / 2);
    const fleet = meets(middle);
    if (fleet === undefined) tooFew = middle;
    else [most, found] = [middle, fleet];
  }
  return found;
}
