/**
 * Why a device does not work, in words that help: which library is missing and where to get it. Hides how the dynamic linker
 * says so: the exception of an engine is often "Failed to load shared library", and only its log on standard error names the
 * library. Pure.
 */

/** Where a library comes from, by the beginning of its name. */
export type LibrarySources = readonly (readonly [name: RegExp, source: string])[];

/** NVIDIA's and Vulkan's. Of a CUDA that lacks cuDNN, cuBLAS or a GPU only the linker's form, which is the same, was seen. */
const SOURCES: LibrarySources = [
  [/^libcuda\.so/, "it comes with NVIDIA's driver; a container gets it by --gpus all"],
  [/^libcudnn/, "it is cuDNN's: NVIDIA's package cudnn9-cuda-13, or an image nvidia/cuda:13…-cudnn-runtime"],
  [
    /^lib(cu|nv[JRrj])/,
    "it is the CUDA runtime's: NVIDIA's package cuda-libraries-13-0, or an image nvidia/cuda:13…-runtime",
  ],
  [/^libnv(infer|onnxparser)/, "it is TensorRT's: NVIDIA's packages libnvinfer10 and libnvonnxparsers10"],
  [/^libvulkan\.so/, "it is the Vulkan loader: Debian's package libvulkan1, beside the GPU's own driver"],
];

/** `path/libcudnn.so.9: cannot open shared object file`, as glibc says it. */
const NOT_OPENED = /([^\s:/]+\.so[.\d]*): cannot open shared object file/;

/**
 * The library that the exception `message` or the log `written` says is missing, and where it comes from, if that is known;
 * undefined when neither names one. `own`: sources of the engine's own libraries.
 */
export function missingLibrary(message: string, written: string, own: LibrarySources = []): string | undefined {
  const library = NOT_OPENED.exec(message)?.[1] ?? NOT_OPENED.exec(written)?.[1];
  if (library === undefined) return undefined;
  const source = [...own, ...SOURCES].find(([name]) => name.test(library))?.[1];
  return `${library} is missing${source === undefined ? '' : `; ${source}`}`;
}

/**
 * The sentence in an exception, without the source file and the function that those of native code begin with, and without
 * the folders of files: clients may read it.
 */
export function publicLine(message: string): string {
  const [line = ''] = message.trim().split('\n');
  return line
    .replace(/^\/\S+:\d+ .*? (was false\. |: )/, '')
    .replace(/(?:\/[^\s/:]+)+\/(?=[^\s/])/g, '')
    .slice(0, 300);
}
