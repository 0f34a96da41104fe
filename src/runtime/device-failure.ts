/**
 * Why a device does not work, in words that help: which library is missing and where to get it. Hides how ONNX Runtime,
 * the dynamic linker and Dawn say so: the exception of ONNX Runtime for CUDA is "Failed to load shared library", and only
 * its log on standard error names the library; Dawn writes a warning there. Pure.
 *
 * Seen with onnxruntime-node 1.30 on Linux: what is said where the files of the CUDA provider, the Vulkan loader or a
 * Vulkan driver are missing or too old (Mesa 22), and of `coreml` and `dml`. Of a CUDA provider that lacks cuDNN, cuBLAS or a GPU only the
 * linker's form, which is the same, was seen.
 */
import type { DeviceKind } from '../device.js';

const INSTALL = 'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js';

/** Where a library comes from, by the beginning of its name. */
const SOURCES: readonly (readonly [name: RegExp, source: string])[] = [
  [/^libonnxruntime_providers_/, `the npm package has none of CUDA's files: fetch them with ${INSTALL}`],
  [/^libcuda\.so/, "it comes with NVIDIA's driver; a container gets it by --gpus all"],
  [/^libcudnn/, "it is cuDNN's: NVIDIA's package cudnn9-cuda-13, or an image nvidia/cuda:13…-cudnn-runtime"],
  [
    /^lib(cu|nv[JRrj])/,
    "it is the CUDA runtime's: NVIDIA's package cuda-libraries-13-0, or an image nvidia/cuda:13…-runtime",
  ],
  [/^libnv(infer|onnxparser)/, "it is TensorRT's: NVIDIA's packages libnvinfer10 and libnvonnxparsers10"],
  [/^libvulkan\.so/, "it is the Vulkan loader: Debian's package libvulkan1, beside the GPU's own driver"],
];

/** The systems that a provider is built for; `webgpu` is in the library of all of them. */
const SYSTEMS: Partial<Record<DeviceKind, string>> = {
  cuda: 'Linux on x64',
  tensorrt: 'Linux on x64',
  coreml: 'macOS',
  dml: 'Windows',
};

/** `path/libcudnn.so.9: cannot open shared object file`, as glibc says it. */
const NOT_OPENED = /([^\s:/]+\.so[.\d]*): cannot open shared object file/;

/**
 * What is wrong and what would help. `message`: the engine's exception, or how the process ended; `written`: what stood on
 * standard error.
 */
export function explainFailure(kind: DeviceKind, message: string, written: string): string {
  const library = NOT_OPENED.exec(message)?.[1] ?? NOT_OPENED.exec(written)?.[1];
  if (library !== undefined) {
    const source = SOURCES.find(([name]) => name.test(library))?.[1];
    return `${library} is missing${source === undefined ? '' : `; ${source}`}`;
  }
  if (message.includes('backend not found')) {
    return `ONNX Runtime's library for ${process.platform} on ${process.arch} does not have it; ${kind} is for ${SYSTEMS[kind] ?? 'other systems'}`;
  }
  if (message.includes('No supported adapters')) {
    const lack = /(Vulkan \S+) required/.exec(written)?.[1];
    return lack === undefined
      ? "Vulkan finds no GPU: its driver is Debian's package mesa-vulkan-drivers or NVIDIA's own, and /dev/dri must be there"
      : `the Vulkan driver is too old for WebGPU, it lacks ${lack}; on Debian 12 mesa-vulkan-drivers from the backports has it`;
  }
  return firstLine(message);
}

/**
 * The sentence in an exception of ONNX Runtime, without the source file and the function that it begins with, and without
 * the folders of files: clients may read it.
 */
function firstLine(message: string): string {
  const [line = ''] = message.trim().split('\n');
  return line
    .replace(/^\/\S+:\d+ .*? (was false\. |: )/, '')
    .replace(/(?:\/[^\s/:]+)+\/(?=[^\s/])/g, '')
    .slice(0, 300);
}
