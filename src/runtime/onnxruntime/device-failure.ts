/**
 * Explains why a device of ONNX Runtime does not work. Hides how ONNX Runtime and Dawn say so: Dawn, which implements
 * its WebGPU, writes a warning on standard error. Pure.
 *
 * Seen with onnxruntime-node 1.30 on Linux: the messages if the files of the CUDA provider, the Vulkan loader or a
 * Vulkan driver are missing or too old (Mesa 22), and those for `coreml` and `dml`.
 */
import type { DeviceKind } from '../../device.js';
import { missingLibrary, publicLine, type LibrarySources } from '../device-failure.js';

const INSTALL = 'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js';

const OWN: LibrarySources = [
  [/^libonnxruntime_providers_/, `the npm package has none of CUDA's files: fetch them with ${INSTALL}`],
];

/** The systems that a provider is built for; the library has `webgpu` on all of them. */
const SYSTEMS: Readonly<Record<DeviceKind, string>> = {
  cuda: 'Linux on x64',
  tensorrt: 'Linux on x64',
  coreml: 'macOS',
  dml: 'Windows',
};

/** What is wrong and what would help (EngineDescription). */
export function explainFailure(kind: DeviceKind, message: string, written: string): string {
  const missing = missingLibrary(message, written, OWN);
  if (missing !== undefined) return missing;
  if (message.includes('backend not found')) {
    return `ONNX Runtime's library for ${process.platform} on ${process.arch} does not have it; ${kind} is for ${SYSTEMS[kind] ?? 'other systems'}`;
  }
  if (message.includes('No supported adapters')) {
    const lack = /(Vulkan \S+) required/.exec(written)?.[1];
    return lack === undefined
      ? "Vulkan finds no GPU: install Debian's package mesa-vulkan-drivers or NVIDIA's own driver; /dev/dri must be there"
      : `the Vulkan driver is too old for WebGPU: it lacks ${lack}; on Debian 12 install mesa-vulkan-drivers from the backports`;
  }
  return publicLine(message);
}
