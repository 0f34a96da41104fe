/**
 * The times at which requests come in an open loop: a Poisson process, as many independent users make it. The gaps are
 * exponential and seeded, so that a run can be repeated. Pure.
 */
import { randomExponential, randomLcg } from 'd3-random';

/** Milliseconds from the start at which each request is due, ascending, all before `seconds` are over. */
export function poissonArrivals(perSecond: number, seconds: number, seed: number): number[] {
  const gapS = randomExponential.source(randomLcg(seed))(perSecond);
  const arrivals: number[] = [];
  for (let at = gapS(); at < seconds; at += gapS()) arrivals.push(at * 1000);
  return arrivals;
}
