/**
 * Applies a device's policy (runtime/device-policy.ts): the limits of its batches, and the batches that warm up a
 * session before requests use it. Pure.
 */
import type { DevicePolicy } from '../runtime/device-policy.js';
import type { FeedShapes, SessionSpec } from '../runtime/session.js';
import type { BatchLimits } from './batch-policy.js';

/** The limits of batches on such a device. */
export function batchLimits(policy: DevicePolicy, maxBatchSize: number, maxBatchCost: number): BatchLimits {
  const { lingerMs, runOverhead, plansShapes } = policy;
  return {
    ...{ maxBatchSize, maxBatchCost, lingerMs },
    ...(runOverhead === undefined ? {} : { runOverhead }),
    ...(plansShapes ? { batchSizes: powersOfTwo(maxBatchSize) } : {}),
  };
}

/** 1, 2, 4, … and `largest` itself. */
function powersOfTwo(largest: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < largest; size *= 2) sizes.push(size);
  return [...sizes, largest];
}

/** The session with its warm-up: batches of its typical image that run before requests use it. */
export function withWarmUp(spec: SessionSpec, policy: DevicePolicy, limits: BatchLimits): SessionSpec {
  const sizes = warmUpSizes(spec, policy, limits);
  const { feeds } = spec.typical ?? {};
  return feeds === undefined || sizes.length === 0
    ? spec
    : { ...spec, warmUp: sizes.map((size) => batchOf(feeds, size)) };
}

/**
 * The counts of a session's warm-up batches, rising. If the policy plans shapes, these are all counts that can come.
 */
export function warmUpSizes({ typical }: SessionSpec, { warmsUp }: DevicePolicy, limits: BatchLimits): number[] {
  if (typical === undefined || !warmsUp) return [];
  return powersOfTwo(limits.maxBatchSize).filter((size) => size === 1 || size * typical.cost <= limits.maxBatchCost);
}

function batchOf(item: FeedShapes, size: number): FeedShapes {
  return Object.fromEntries(
    Object.entries(item).map(([name, { type, dims }]) => [name, { type, dims: [size, ...dims] }]),
  );
}
