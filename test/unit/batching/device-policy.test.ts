import { describe, expect, it } from 'vitest';
import { batchLimits, warmUpSizes, withWarmUp } from '../../../src/batching/device-policy.js';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import { DEVICE_KINDS } from '../../../src/runtime/parse-devices.js';
import type { SessionSpec } from '../../../src/runtime/session.js';
import { tensorflow } from '../../../src/runtime/tensorflow/description.js';

const SPEC: SessionSpec = {
  id: 'net/classify',
  model: new Uint8Array(),
  typical: { feeds: { image: { type: 'uint8', dims: [64, 64, 3] } }, cost: 10 },
};

describe('the policy of a device', () => {
  it('gives a CPU a worker a core, no wait, batches only under load, any count, exact sizes, nothing run beforehand', () => {
    const policy = onnxruntime.policy('cpu', 6);
    expect(policy).toMatchObject({ workers: 6, maxBatch: 8, inputStep: 1 });
    expect(batchLimits(policy, 8, 100)).toEqual({
      ...{ maxBatchSize: 8, maxBatchCost: 100, lingerMs: 0, runOverhead: 0.1 },
    });
    expect(withWarmUp(SPEC, policy, batchLimits(policy, 8, 100))).toBe(SPEC);
  });

  it('gives TensorFlow on the CPU one worker, whose threads take all cores, and its WebAssembly one a core', () => {
    expect(tensorflow.policy('cpu', 6).workers).toBe(1);
    expect(tensorflow.policy('wasm', 6)).toMatchObject({ workers: 6, maxBatch: 8, lingerMs: 0 });
  });

  it('gives a GPU one worker, larger batches and a wait', () => {
    for (const kind of DEVICE_KINDS.filter((kind) => kind !== 'cpu' && kind !== 'wasm')) {
      expect(onnxruntime.policy(kind, 6)).toMatchObject({ workers: 1, maxBatch: 32, warmsUp: true });
      expect(onnxruntime.policy(kind, 6).lingerMs).toBeGreaterThan(0);
    }
  });

  it('has few counts and few sizes where a provider plans for each', () => {
    const policy = onnxruntime.policy('cuda', 6);
    expect(policy.inputStep).toBe(16);
    expect(batchLimits(policy, 32, 100).batchSizes).toEqual([1, 2, 4, 8, 16, 32]);
    expect(batchLimits(policy, 24, 100).batchSizes).toEqual([1, 2, 4, 8, 16, 24]);
    expect(batchLimits(policy, 1, 100).batchSizes).toEqual([1]);
  });

  it('has all of them for WebGPU, whose device threads do not share', () => {
    const policy = onnxruntime.policy('webgpu', 6);
    expect(policy).toMatchObject({ inputStep: 1, shared: false });
    expect(batchLimits(policy, 32, 100).batchSizes).toBeUndefined();
  });
});

describe('the warm-up of a session', () => {
  const policy = onnxruntime.policy('cuda', 2);
  const limits = batchLimits(policy, 8, 45);

  it('is every count that can come, at the typical size', () => {
    expect(warmUpSizes(SPEC, policy, limits)).toEqual([1, 2, 4]);
    expect(withWarmUp(SPEC, policy, limits).warmUp).toEqual(
      [1, 2, 4].map((size) => ({ image: { type: 'uint8', dims: [size, 64, 64, 3] } })),
    );
  });

  it('is one image where that alone is beyond the cap', () => {
    expect(warmUpSizes(SPEC, policy, { ...limits, maxBatchCost: 1 })).toEqual([1]);
  });

  it('is nothing for a session whose requests vary', () => {
    const { typical: _, ...varying } = SPEC;
    expect(withWarmUp(varying, policy, limits)).toBe(varying);
  });
});
