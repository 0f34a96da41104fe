/**
 * Explains why a device does not work: which library is missing and where to get it. Hides how the dynamic linker says
 * so: an engine's exception is often "Failed to load shared library", and only its log on standard error names the
 * library. Pure.
 */

/** Where a library comes from, by the beginning of its name. */
export type LibrarySources = readonly (readonly [name: RegExp, source: string])[];

/**
 * NVIDIA's and Vulkan's libraries. A CUDA without cuDNN, cuBLAS or a GPU was not tried; the linker's message has the
 * same form for all of them.
 */
const SOURCES: LibrarySources = [
  [/^libcuda\.so/, "it comes with NVIDIA's driver; a container gets it by --gpus all"],
  [
    /^libcudnn/,
    "it belongs to cuDNN: install NVIDIA's package cudnn9-cuda-13 or use an image nvidia/cuda:13…-cudnn-runtime",
  ],
  [
    /^lib(cu|nv[JRrj])/,
    "it belongs to the CUDA runtime: install NVIDIA's package cuda-libraries-13-0 or use an image nvidia/cuda:13…-runtime",
  ],
  [/^libnv(infer|onnxparser)/, "it belongs to TensorRT: install NVIDIA's packages libnvinfer10 and libnvonnxparsers10"],
  [/^libvulkan\.so/, "it is the Vulkan loader: install Debian's package libvulkan1 and the GPU's own driver"],
];

/** `path/libcudnn.so.9: cannot open shared object file`, as glibc says it. */
const NOT_OPENED = /([^\s:/]+\.so[.\d]*): cannot open shared object file/;

/**
 * A sentence that names the missing library and, if known, where it comes from. The exception `message` is searched
 * before the log `written`; undefined if neither names a library. `own`: sources of the engine's own libraries.
 */
export function missingLibrary(message: string, written: string, own: LibrarySources = []): string | undefined {
  const library = NOT_OPENED.exec(message)?.[1] ?? NOT_OPENED.exec(written)?.[1];
  if (library === undefined) return undefined;
  const source = [...own, ...SOURCES].find(([name]) => name.test(library))?.[1];
  return `${library} is missing${source === undefined ? '' : `; ${source}`}`;
}

/**
 * The first line of an exception, for clients: without the source file and the function that native code puts in front,
 * without the folders of files, and at most 300 characters long.
 */
export function publicLine(message: string): string {
  const [line = ''] = message.trim().split('\n');
  return line
    .replace(/^\/\S+:\d+ .*? (was false\. |: )/, '')
    .replace(/(?:\/[^\s/:]+)+\/(?=[^\s/])/g, '')
    .slice(0, 300);
}
