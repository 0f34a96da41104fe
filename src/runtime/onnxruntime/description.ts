/**
 * ONNX Runtime. Its devices are its execution providers. The npm package has only some of those for GPUs, and they need
 * drivers and libraries; only a try shows whether these are there.
 */
import type { DeviceKind } from '../../device.js';
import { FORGETFUL_GPU, GPU, PLANNING_GPU, workerPerCore, type DevicePolicy } from '../device-policy.js';
import type { EngineDescription } from '../engine-description.js';
import { explainFailure } from './device-failure.js';

export const onnxruntime: EngineDescription<'onnxruntime'> = {
  name: 'onnxruntime',
  kinds: ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'],
  numbered: ['cuda', 'tensorrt', 'dml'],
  // A vendor's own provider comes first. TensorRT must be asked for: it compiles for minutes for each shape.
  automatic: ['cuda', 'coreml', 'dml', 'webgpu'],
  providers: async () => (await import('./engine.js')).listProviders(),
  tries: (kind) => kind !== 'cpu',
  /**
   * onnxruntime 1.30's CPU provider on x64 has no kernels for half precision. It casts to single precision around every
   * operator, and leaves out two Casts that meet. So a half-precision net is as exact as its weights, and takes 1.0 to
   * 3 times as long as the same net in single precision (ResNet-18 and SqueezeNet 1.1 at 224²).
   */
  computesHalf: (kind) => kind !== 'cpu',
  roundsFactors: (kind) => kind === 'cuda' || kind === 'tensorrt',
  mapsWeights: (kind) => kind === 'cpu',
  policy: policyOf,
  explainFailure,
  load: async (options) =>
    (await import('./engine.js')).createOnnxruntimeEngine(options, policyOf(options.device.kind, 1)),
};

function policyOf(kind: DeviceKind, cores: number): DevicePolicy {
  switch (kind) {
    case 'cpu':
      return workerPerCore(cores);
    case 'webgpu':
      // Measured: the first run of a new count or size takes no longer than the next, and two runs at once, each in a
      // thread of its own, crash the process (onnxruntime 1.30).
      return { ...GPU, shared: false };
    case 'cuda':
      return FORGETFUL_GPU;
    default:
      return PLANNING_GPU;
  }
}
