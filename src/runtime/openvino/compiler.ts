/**
 * How a graph and its weights become a compiled model. Hides that one which was compiled before is read from disk in a fraction of
 * the time: OpenVINO writes a model as it is before it is arranged for kernels, with its weights.
 *
 * Constants stay where they are, in files that are mapped as long as the compiled model lives. Convolutions have copies of their own,
 * arranged for their kernels, which all lanes share.
 */
import { join } from 'node:path';
import type { Graph, Initializer } from '../../graph/graph.js';
import { writeOnnx } from '../../graph/onnx/model.js';
import { removeFolder } from '../../kept-folders.js';
import { findOptimized } from '../optimized-models.js';
import type { EngineOptions, SessionSpec } from '../session.js';
import { SessionFiles } from '../session-files.js';
import { IN_MEMORY, type Handle, type OpenvinoLibrary, type Properties } from './library.js';
import { mapFile, type MappedFile } from './mapped-files.js';

export interface Compiled {
  readonly model: Handle;
  free(): void;
}

/** What compiled models are made from. */
export interface Source {
  /** What `make` reads. */
  readonly files: SessionFiles;
  /** Whether it was compiled before, and can be again. */
  readonly isKept: boolean;
  /** Blocks its thread. Throws the library's message. */
  readonly make: () => Compiled;
  /** The source without what was kept, which is then removed. */
  original(): Promise<Source>;
}

export interface Compiler {
  /** A model that is kept is compiled now, if it was not before. Not if it does not compile: `make` says why. */
  sourceOf(spec: SessionSpec, graph: Graph): Promise<Source>;
}

export interface CompilerOptions {
  readonly library: OpenvinoLibrary;
  readonly core: Handle;
  /** Of each lane. */
  readonly threads: number;
  readonly lanes: number;
  readonly kept: EngineOptions['kept'];
}

const MODEL_FILE = 'model.blob';

export function createCompiler({ library, core, threads, lanes, kept }: CompilerOptions): Compiler {
  const propertiesOf = ({ autocast }: SessionSpec): Properties => ({
    INFERENCE_PRECISION_HINT: autocast ?? 'f32',
    NUM_STREAMS: String(lanes),
    INFERENCE_NUM_THREADS: String(threads * lanes),
    // By default each process has its threads on the first cores: two processes would share them and leave others idle.
    ENABLE_CPU_PINNING: 'NO',
    CPU_RUNTIME_CACHE_CAPACITY: String(KEPT_KERNELS),
  });

  function originalOf(spec: SessionSpec, graph: Graph): Source {
    const source: Source = {
      files: new SessionFiles(spec.weightsFolder, spec.weightsFiles),
      isKept: false,
      make: () => compile(library, core, withWeights(graph, spec.weightsFolder), propertiesOf(spec)),
      original: () => Promise.resolve(source),
    };
    return source;
  }

  async function sourceOf(spec: SessionSpec, graph: Graph): Promise<Source> {
    const original = originalOf(spec, graph);
    if (spec.digest === undefined || spec.asWritten === true || kept === undefined) return original;
    const properties = propertiesOf(spec);
    const optimizer = `openvino ${library.version} ${JSON.stringify(properties)}`;
    const found = await findOptimized({ ...kept, optimizer }, spec.digest, (folder) => {
      original.files.assertSame();
      const compiled = original.make();
      try {
        library.exportModel(compiled.model, join(folder, MODEL_FILE));
        original.files.assertSame();
      } finally {
        compiled.free();
      }
      return Promise.resolve();
    });
    if (found === undefined) return original;
    const { folder, files } = found;
    return {
      files: new SessionFiles(folder, files),
      isKept: true,
      make: () => importModel(library, core, join(folder, MODEL_FILE), properties),
      async original() {
        await removeFolder(folder);
        return original;
      },
    };
  }

  return { sourceOf };
}

/** A model and the mapped files that its weights are in. */
interface Weighted {
  readonly model: Uint8Array;
  readonly unmap: () => void;
}

function compile(library: OpenvinoLibrary, core: Handle, { model, unmap }: Weighted, properties: Properties): Compiled {
  try {
    const read = library.readModel(core, model);
    try {
      return whileMapped(library, library.compile(core, read, properties), unmap);
    } finally {
      library.freeModel(read);
    }
  } catch (error) {
    unmap();
    throw error;
  }
}

function importModel(library: OpenvinoLibrary, core: Handle, path: string, properties: Properties): Compiled {
  const file = mapFile(path);
  const unmap = (): void => file.unmap();
  try {
    return whileMapped(library, library.importModel(core, file, properties), unmap);
  } catch (error) {
    unmap();
    throw error;
  }
}

function whileMapped(library: OpenvinoLibrary, model: Handle, unmap: () => void): Compiled {
  return {
    model,
    free() {
      library.freeCompiled(model);
      unmap();
    },
  };
}

/**
 * Each layer keeps its kernels for the shapes that it had last, up to so many in all. OpenVINO's own limit is 5,000, with which an
 * EfficientNet-Lite0 grows by megabytes for each new size (test/unit/runtime/openvino.test.ts).
 */
const KEPT_KERNELS = 300;

/** The graph as OpenVINO takes it, and its weights in memory. */
function withWeights(graph: Graph, folder = ''): Weighted {
  const files = new Map<string, MappedFile>();
  const unmap = (): void => files.forEach((file) => file.unmap());

  function located(initializer: Initializer): Initializer {
    const { name, data } = initializer;
    if (data.kind !== 'external') return initializer;
    const file = files.get(data.file) ?? mapFile(join(folder, data.file));
    files.set(data.file, file);
    if (data.offset + data.length > file.byteLength) {
      throw new Error(`${data.file} ends before the weights of ${name}`);
    }
    return { ...initializer, data: { ...data, file: IN_MEMORY, offset: Number(file.address) + data.offset } };
  }

  try {
    const initializers = new Map(Array.from(graph.initializers, ([name, each]) => [name, located(each)]));
    return { model: writeOnnx({ ...graph, initializers }), unmap };
  } catch (error) {
    unmap();
    throw error;
  }
}
