/**
 * How a kind of device wants to be fed: how many workers, how large batches, of which counts and shapes. batch-policy.ts
 * decides by it, and knows no device. Pure.
 *
 * A CPU gains nothing by waiting and little by batches: a worker for each core, batches only under load. A GPU is one thing
 * whose runs have a fixed cost: one worker, larger batches, a wait where it pays, and runs before the server is ready,
 * because the first ones compile kernels.
 *
 * Most providers for GPUs also plan for each shape: cuDNN tries its algorithms out, TensorRT compiles an engine, Core ML and
 * DirectML compile the graph. There, batches have few different counts, 1, 2, 4, …, all of them run beforehand, and inputs
 * whose sides follow from the photograph, any number of sizes, are rounded to multiples of 16 pixels. WebGPU does not:
 * measured, the first run of a new count or size takes no longer than the next. Batches are never filled up with images
 * that nobody sent: they would cost as much as real ones.
 *
 * But for WebGPU's shapes and threads the GPU's figures are not measured: ARCHITECTURE.md, "What has run where".
 */
import type { DeviceKind } from '../device.js';
import type { EngineName, FeedShapes, SessionSpec } from '../runtime/session.js';
import type { BatchLimits } from './batch-policy.js';

export interface DevicePolicy {
  /** Workers for each device. */
  readonly workers: number;
  /** Several workers of one process can share a device. */
  readonly shared: boolean;
  readonly maxBatch: number;
  /** In one batch; a GMAC is 10⁹ multiply-adds. */
  readonly maxBatchGmacs: number;
  /** Longest wait of an image for others while a worker is idle. */
  readonly lingerMs: number;
  /** What a run costs beside its images, as part of an image's cost, where that is known to be little. */
  readonly runOverhead?: number;
  /** The first runs of a session are not like those after them. */
  readonly warmsUp: boolean;
  /** Each count and size that has not been run yet costs extra: there are to be few. */
  readonly plansShapes: boolean;
  /** Sides of inputs that follow from the photograph are multiples of this, in pixels (input-plan.ts). */
  readonly inputStep: number;
}

/** A wait is over much sooner than this unless a run has a large fixed cost and requests come fast (batch-policy.ts). */
const LINGER_MS = 10;

export function policyOf(kind: DeviceKind, cores: number, engine: EngineName): DevicePolicy {
  switch (kind) {
    case 'cpu':
      return engine === 'tensorflow' ? TENSORFLOW_CPU : { ...CPU, workers: cores };
    case 'wasm':
      return { ...CPU, workers: cores };
    case 'webgpu':
      // Two runs at once, each in a thread of its own, crash the process (onnxruntime 1.30).
      return { ...GPU, ...EXACT, shared: false };
    default:
      return { ...GPU, plansShapes: true, inputStep: 16 };
  }
}

const EXACT = { plansShapes: false, inputStep: 1 };
/** What a run costs beside its images: measured from 0.05 (VGG-16) to 0.2 (small nets), of one worker among others that are busy. */
const CPU = {
  ...EXACT,
  shared: true,
  ...{ maxBatch: 8, maxBatchGmacs: 64, runOverhead: 0.1 },
  lingerMs: 0,
  warmsUp: false,
};
/**
 * TensorFlow's own threads take all cores, and each worker would hold weights of its own. A run starts every operator from
 * JavaScript: measured from 1 (ResNet-50) to 2 (ResNeXt-50, group by group).
 */
const TENSORFLOW_CPU = { ...CPU, workers: 1, runOverhead: 1.2 };
const GPU = { workers: 1, shared: true, maxBatch: 32, maxBatchGmacs: 256, lingerMs: LINGER_MS, warmsUp: true };

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

/** The session as it is to be opened there: what of its typical image runs before anybody waits. */
export function withWarmUp(spec: SessionSpec, policy: DevicePolicy, limits: BatchLimits): SessionSpec {
  const sizes = warmUpSizes(spec, policy, limits);
  const { feeds } = spec.typical ?? {};
  return feeds === undefined || sizes.length === 0
    ? spec
    : { ...spec, warmUp: sizes.map((size) => batchOf(feeds, size)) };
}

/** The counts of a session's warm-ups, rising: with a policy that plans shapes all that can come. */
export function warmUpSizes({ typical }: SessionSpec, { warmsUp }: DevicePolicy, limits: BatchLimits): number[] {
  if (typical === undefined || !warmsUp) return [];
  return powersOfTwo(limits.maxBatchSize).filter((size) => size === 1 || size * typical.cost <= limits.maxBatchCost);
}

function batchOf(item: FeedShapes, size: number): FeedShapes {
  return Object.fromEntries(
    Object.entries(item).map(([name, { type, dims }]) => [name, { type, dims: [size, ...dims] }]),
  );
}
