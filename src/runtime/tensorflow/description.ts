/**
 * TensorFlow, through TensorFlow.js' bindings to its C library or its WebAssembly backend. These packages are installed
 * beside this program. The binding itself says what it lacks when it is loaded, and computes on the first GPU only.
 */
import type { DeviceKind } from '../../device.js';
import { missingLibrary, publicLine } from '../device-failure.js';
import { PLANNING_GPU, workerPerCore, type DevicePolicy } from '../device-policy.js';
import type { EngineDescription } from '../engine-description.js';

export const tensorflow: EngineDescription<'tensorflow'> = {
  name: 'tensorflow',
  kinds: ['cpu', 'cuda', 'wasm'],
  numbered: [],
  automatic: ['cuda'],
  notes: {
    workers: 'with engine tensorflow on the CPU',
    threads: 'TensorFlow takes its own number',
  },
  providers: async () => (await import('./binding.js')).listProviders(),
  tries: () => false,
  refuses: ({ index }) =>
    index > 0 ? 'uses only the first GPU; CUDA_VISIBLE_DEVICES sets which one that is' : undefined,
  /** TensorFlow.js has no half-precision type. */
  computesHalf: () => false,
  roundsFactors: (kind) => kind === 'cuda',
  policy: policyOf,
  explainFailure: (_, message, written) => missingLibrary(message, written) ?? publicLine(message),
  load: async (options) => (await import('./engine.js')).createTensorflowEngine(options),
};

function policyOf(kind: DeviceKind, cores: number): DevicePolicy {
  switch (kind) {
    case 'cpu':
      // TensorFlow's own threads take all cores, and each worker would hold weights of its own. A run starts every
      // operator from JavaScript: this overhead was measured from 1 (ResNet-50) to 2 (ResNeXt-50, group by group).
      return { ...workerPerCore(1), runOverhead: 1.2 };
    case 'wasm':
      return workerPerCore(cores);
    default:
      return PLANNING_GPU;
  }
}
