/**
 * How to feed a kind of device: how many workers, how large the batches, which counts and shapes. Engines describe
 * their devices in these terms; batching/ decides by them and knows no device. Pure.
 *
 * A CPU gains nothing by waiting and little by batches: it gets a worker for each core, and batches only under load. A
 * GPU is a single device whose runs have a fixed cost: it gets one worker, larger batches, a wait where that pays, and
 * runs before the server is ready, because the first runs compile kernels.
 *
 * Most providers for GPUs also plan for each shape: cuDNN tries its algorithms out, TensorRT compiles an engine, Core
 * ML and DirectML compile the graph. There, batches have few different counts (1, 2, 4, …), which are all run
 * beforehand. Inputs whose sides follow from the photograph could have any size, so their sides are rounded to
 * multiples of 16 pixels. Batches are never filled up with dummy images, which would cost as much as real ones.
 *
 * Of the GPU's figures these are measured: WebGPU's shapes and threads, and on one H200 that batches of 32 reach nine tenths of what larger
 * ones do, and half with a small net (docs/engines.md, "What has run where").
 */
export interface DevicePolicy {
  /** Workers for each device. */
  readonly workers: number;
  /** Several workers of one process can share a device. */
  readonly shared: boolean;
  readonly maxBatch: number;
  /** Limit of one batch; a GMAC is 10⁹ multiply-adds. */
  readonly maxBatchGmacs: number;
  /** Images that a process decodes at the same time; where there would be more, processes of their own decode. Absent: any number. */
  readonly decodersEach?: number | undefined;
  /** Longest wait of an image for others while a worker is idle. */
  readonly lingerMs: number;
  /** The fixed cost of a run, in parts of an image's cost; absent if it is not known to be small. */
  readonly runOverhead?: number;
  /** The first runs of a session are slower than later ones. */
  readonly warmsUp: boolean;
  /** Each count and size costs extra when it first runs, so there must be few. */
  readonly plansShapes: boolean;
  /** A session remembers its last input's shape only: a run of another shape costs extra, also when it came before. */
  readonly remembersOneShape: boolean;
  /** Sides of inputs that follow from the photograph are multiples of this, in pixels. */
  readonly inputStep: number;
}

/** A wait ends much sooner unless a run has a large fixed cost and requests come fast (batch-policy.ts). */
const LINGER_MS = 10;

const EXACT = { plansShapes: false, remembersOneShape: false, inputStep: 1 };

/**
 * About as many as a process decodes on a CPU, where each worker is one. One process that decoded 32 at a time answered 242
 * photographs/s with 4.8 of 16 cores beside an H200.
 */
const DECODERS_EACH = 4;

/** A CPU: each core has a worker whose operators run in one thread. */
export function workerPerCore(cores: number): DevicePolicy {
  return {
    ...EXACT,
    ...{ workers: cores, shared: true },
    // The fixed cost of a run was measured from 0.05 (VGG-16) to 0.2 (small nets), on one worker among other busy ones.
    ...{ maxBatch: 8, maxBatchGmacs: 64, runOverhead: 0.1 },
    lingerMs: 0,
    warmsUp: false,
  };
}

/** A GPU on which every count and size runs as fast the first time as later, once the session is warm. */
export const GPU: DevicePolicy = {
  ...EXACT,
  ...{ workers: 1, shared: true, maxBatch: 32, maxBatchGmacs: 256, lingerMs: LINGER_MS, warmsUp: true },
  decodersEach: DECODERS_EACH,
};

/** A GPU whose provider plans for each shape. */
export const PLANNING_GPU: DevicePolicy = { ...GPU, plansShapes: true, inputStep: 16 };

/** A GPU whose provider plans for each shape, and forgets the plan when the session runs another. */
export const FORGETFUL_GPU: DevicePolicy = { ...PLANNING_GPU, remembersOneShape: true };

/**
 * Processes that decode for a process of workers which has `decoders` images decoded at the same time; 0: it decodes them
 * itself.
 */
export function decodingProcesses(
  { decodersEach = Infinity }: Pick<DevicePolicy, 'decodersEach'>,
  decoders: number,
): number {
  return decoders > decodersEach ? Math.ceil(decoders / decodersEach) : 0;
}
