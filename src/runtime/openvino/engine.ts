/**
 * The OpenVINO engine. Hides how a graph and its weights become a compiled model. To open a session blocks its thread, so sessions
 * belong in workers (../worker.ts). Runs are in threads of the compiled model's own, which have the priority of the one that opened it.
 *
 * Checked with OpenVINO 2026.4: one model compiled for any size runs each size as fast as one compiled for it. Constants stay
 * where the graph says they are, in mapped files; convolutions have copies of their own, arranged for their kernels. The last
 * layers are computed in single precision, whatever the precision of the others.
 */
import { join } from 'node:path';
import { applyWhereMatching } from '../../graph/pass.js';
import { flattenOldSoftmax } from '../../graph/passes/flatten-old-softmax.js';
import { readOnnx, writeOnnx } from '../../graph/onnx/model.js';
import type { Graph, Initializer } from '../../graph/graph.js';
import type { Tensor, TensorMap } from '../../tensor.js';
import { growsMemory } from '../feed-size.js';
import { SessionFiles } from '../session-files.js';
import type { Engine, EngineOptions, Session, SessionSpec } from '../session.js';
import { requireLibrary } from './find-library.js';
import { IN_MEMORY, loadLibrary, type Handle, type OpenvinoLibrary } from './library.js';
import { mapFile, type MappedFile } from './mapped-files.js';

/** Throws OperatorError if OpenVINO or koffi is not installed, or does not load. */
export function createOpenvinoEngine({ threads, lanes = 1, libraryFolder }: EngineOptions): Engine {
  const library = loadLibrary(requireLibrary({ folder: libraryFolder }));
  const core = library.createCore();
  const hasBrainFloats = library.cpuProperty(core, 'OPTIMIZATION_CAPABILITIES').split(' ').includes('BF16');
  return {
    autocast: hasBrainFloats ? 'bf16' : undefined,
    open: (spec) => Promise.resolve().then(() => openSession(library, core, spec, { threads, lanes })),
  };
}

/**
 * A compiled model keeps the memory of the largest run that it ever had, until it is made anew. What takes longer to compile keeps
 * its memory: otherwise any stranger's image would cost its worker that time.
 */
const COMPILES_FAST_MS = 1000;

function openSession(library: OpenvinoLibrary, core: Handle, spec: SessionSpec, layout: Layout): Session {
  const graph = applyWhereMatching(readOnnx(spec.model), [flattenOldSoftmax()]);
  const files = new SessionFiles(spec.weightsFolder, spec.weightsFiles);
  let compileMs = 0;
  let opened: Opened | undefined = open();
  let hasGrown = false;

  /** Throws FilesChanged if the files are not those that were digested. */
  function open(): Opened {
    files.assertSame();
    const started = performance.now();
    const compiled = compile(library, core, spec, graph, layout);
    compileMs = performance.now() - started;
    try {
      files.assertSame();
      // All of them now: to make one waits for a run.
      return { compiled, idle: Array.from({ length: layout.lanes }, () => library.createRequest(compiled.model)) };
    } catch (error) {
      compiled.free();
      throw error;
    }
  }

  function close(): void {
    if (opened === undefined) return;
    opened.idle.forEach((request) => library.freeRequest(request));
    opened.compiled.free();
    opened = undefined;
  }

  async function run(feeds: TensorMap): Promise<TensorMap> {
    opened ??= open();
    const { idle } = opened;
    const request = idle.pop();
    if (request === undefined) throw new Error(`more than ${layout.lanes} runs at the same time`);
    try {
      files.assertIntact();
      // By place: the library forgets the name of an input that is an output, too.
      graph.inputs.forEach(({ name }, index) => {
        const feed = feeds[name];
        if (feed === undefined) throw new Error(`the input ${name} is missing`);
        library.feed(request, index, feed);
      });
      await library.infer(request);
      const outputs = graph.outputs.map(({ name }, index): [string, Tensor] => [name, library.read(request, index)]);
      files.assertIntact();
      return Object.fromEntries(outputs);
    } finally {
      idle.push(request);
    }
  }

  /** One whose files have changed since stays as it is. */
  function renew(): void {
    hasGrown = false;
    try {
      files.assertSame();
      close();
      opened = open();
    } catch {
      // If it is closed, the next run tries again and says why.
    }
  }

  return {
    provider: 'cpu',
    run(feeds) {
      if (growsMemory(spec, feeds) && compileMs <= COMPILES_FAST_MS) hasGrown = true;
      return run(feeds);
    },
    get hasGrown() {
      return hasGrown;
    },
    shrink() {
      renew();
      return Promise.resolve();
    },
    release() {
      close();
      return Promise.resolve();
    },
  };
}

interface Opened {
  readonly compiled: Compiled;
  /** Requests that no run has now. Each has its own memory for activations. */
  readonly idle: Handle[];
}

/** What a compiled model has of the processor. */
type Layout = Required<Pick<EngineOptions, 'threads' | 'lanes'>>;

interface Compiled {
  readonly model: Handle;
  free(): void;
}

/** Compile a graph whose weights stay mapped until it is freed. */
function compile(
  library: OpenvinoLibrary,
  core: Handle,
  { weightsFolder, autocast }: SessionSpec,
  graph: Graph,
  { threads, lanes }: Layout,
): Compiled {
  const { model, unmap } = withWeights(graph, weightsFolder);
  try {
    const read = library.readModel(core, model);
    try {
      const compiled = library.compile(core, read, {
        INFERENCE_PRECISION_HINT: autocast ?? 'f32',
        NUM_STREAMS: String(lanes),
        INFERENCE_NUM_THREADS: String(threads * lanes),
        // By default each process has its threads on the first cores: two processes would share them and leave others idle.
        ENABLE_CPU_PINNING: 'NO',
        CPU_RUNTIME_CACHE_CAPACITY: String(KEPT_KERNELS),
      });
      return {
        model: compiled,
        free() {
          library.freeCompiled(compiled);
          unmap();
        },
      };
    } finally {
      library.freeModel(read);
    }
  } catch (error) {
    unmap();
    throw error;
  }
}

/**
 * Each layer keeps its kernels for the shapes that it had last, up to so many in all. OpenVINO's own limit is 5,000, with which an
 * EfficientNet-Lite0 grows by megabytes for each new size (test/unit/runtime/openvino.test.ts).
 */
const KEPT_KERNELS = 300;

/** The graph as OpenVINO takes it, and its weights in memory. */
function withWeights(graph: Graph, folder = ''): { model: Uint8Array; unmap: () => void } {
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
