/**
 * Which devices compute in half precision. onnxruntime 1.30's CPU provider on x64 has no kernels for it: around every
 * operator it casts to single precision and, where two Casts meet, leaves them out, so that a half-precision net is as exact
 * as its weights and 1.0 to 3 times slower than the same net in single precision (ResNet-18 and SqueezeNet 1.1 at 224²).
 */

import type { DeviceKind } from '../device.js';
import type { EngineName } from './session.js';

/** Whether an engine computes in half precision on a device. TensorFlow.js has no such type. */
export function computesHalf(engine: EngineName, kind: DeviceKind): boolean {
  return engine === 'onnxruntime' && kind !== 'cpu';
}
