/**
 * How a kind of device wants to be fed: how many workers, how large batches, of which counts and shapes. Engines say it of
 * their devices in these terms; batching/ decides by it, and knows no device. Pure.
 *
 * A CPU gains nothing by waiting and little by batches: a worker for each core, batches only under load. A GPU is one thing
 * whose runs have a fixed cost: one worker, larger batches, a wait where it pays, and runs before the server is ready,
 * because the first ones compile kernels.
 *
 * Most providers for GPUs also plan for each shape: cuDNN tries its algorithms out, TensorRT compiles an engine, Core ML and
 * DirectML compile the graph. There, batches have few different counts, 1, 2, 4, …, all of them run beforehand, and inputs
 * whose sides follow from the photograph, any number of sizes, are rounded to multiples of 16 pixels. Batches are never
 * filled up with images that nobody sent: they would cost as much as real ones.
 *
 * But for WebGPU's shapes and threads the GPU's figures are not measured: ARCHITECTURE.md, "What has run where".
 */
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
  /** Sides of inputs that follow from the photograph are multiples of this, in pixels. */
  readonly inputStep: number;
}

/** A wait is over much sooner than this unless a run has a large fixed cost and requests come fast (batch-policy.ts). */
const LINGER_MS = 10;

const EXACT = { plansShapes: false, inputStep: 1 };

/** A CPU: each core has a worker whose operators run in one thread. */
export function workerPerCore(cores: number): DevicePolicy {
  return {
    ...EXACT,
    ...{ workers: cores, shared: true },
    // What a run costs beside its images: measured from 0.05 (VGG-16) to 0.2 (small nets), of one worker among others that
    // are busy.
    ...{ maxBatch: 8, maxBatchGmacs: 64, runOverhead: 0.1 },
    lingerMs: 0,
    warmsUp: false,
  };
}

/** A GPU on which every count and size runs as fast the first time as later, once the session is warm. */
export const GPU: DevicePolicy = {
  ...EXACT,
  ...{ workers: 1, shared: true, maxBatch: 32, maxBatchGmacs: 256, lingerMs: LINGER_MS, warmsUp: true },
};

/** A GPU whose provider plans for each shape. */
export const PLANNING_GPU: DevicePolicy = { ...GPU, plansShapes: true, inputStep: 16 };
