/** How large a run is, for engines that keep the memory of the largest that they ever had. Pure. */
import type { TensorMap } from '../tensor.js';
import type { SessionSpec } from './session.js';

/** Whether a run takes a second or more, and hundreds of megabytes. */
export function isLarge({ largeFeed = Infinity }: SessionSpec, feeds: TensorMap): boolean {
  return largestFeed(feeds) >= largeFeed;
}

/** From this part of a large feed on, a run leaves up to hundreds of megabytes with the engine. */
const GROWN_PART = 1 / 10;

/** Whether a run leaves so much memory with the engine that it should go back when no other such run comes. */
export function growsMemory({ largeFeed = Infinity }: SessionSpec, feeds: TensorMap): boolean {
  return largestFeed(feeds) >= GROWN_PART * largeFeed;
}

function largestFeed(feeds: TensorMap): number {
  return Math.max(0, ...Object.values(feeds).map(({ data }) => data.byteLength));
}
