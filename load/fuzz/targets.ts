/**
 * The readers that are fuzzed in this process, by kind and name. A reader is imported when it is opened: a look at the coverage
 * takes the longer, the more code there is.
 */
import type { ImageFormat } from '../../src/images/image-format.js';
import type { Target } from './target.js';

export type InsideKind = 'models' | 'parsers';

const image = (format: ImageFormat) => async (): Promise<Target> =>
  (await import('./readers/image-headers.js')).imageHeader(format);

const folder =
  (name: Exclude<keyof typeof import('./readers/model-folders.js'), 'default'>) => async (): Promise<Target> =>
    (await import('./readers/model-folders.js'))[name];

export const TARGETS: Readonly<Record<InsideKind, Readonly<Record<string, () => Promise<Target>>>>> = {
  models: {
    manifest: folder('manifest'),
    labels: folder('labels'),
    safetensors: folder('safetensors'),
    onnx: folder('onnx'),
    'onnx-bytes': async () => (await import('./readers/onnx-bytes.js')).onnxBytes,
    tfjs: folder('tfjs'),
    'tfjs-shard': folder('tfjsShard'),
    'keras-json': async () => (await import('./readers/keras-json.js')).kerasJson,
    hdf5: async () => (await import('./readers/hdf5.js')).hdf5,
  },
  parsers: {
    jpeg: image('jpeg'),
    png: image('png'),
    webp: image('webp'),
    gif: image('gif'),
    avif: image('avif'),
    tiff: image('tiff'),
    multipart: async () => (await import('./readers/multipart.js')).multipart,
    'json-images': async () => (await import('./readers/json-images.js')).jsonImages,
    'infer-body': async () => (await import('./readers/infer-body.js')).inferBody,
    'image-url': async () => (await import('./readers/image-urls.js')).imageUrl,
    'public-address': async () => (await import('./readers/image-urls.js')).publicAddress,
    'signed-query': async () => (await import('./readers/image-urls.js')).signedQueries,
    'class-search': async () => (await import('./readers/class-search.js')).classSearch,
  },
};

/** Readers that may never return: the server reads such files on a thread, which it ends after some time. */
export const MAY_HANG: ReadonlySet<string> = new Set(['hdf5']);
