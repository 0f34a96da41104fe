/**
 * The OpenVINO engine: sessions over compiled models (compiler.ts). To open one blocks its thread, so sessions belong in workers
 * (../worker.ts). Runs are in threads of the compiled model's own, which have the priority of the one that opened it.
 *
 * Checked with OpenVINO 2026.4: one model compiled for any size runs each size as fast as one compiled for it. The last layers
 * are computed in single precision, whatever the precision of the others.
 */
import { applyWhereMatching } from '../../graph/pass.js';
import { flattenOldSoftmax } from '../../graph/passes/flatten-old-softmax.js';
import { readOnnx } from '../../graph/onnx/model.js';
import type { Tensor, TensorMap } from '../../tensor.js';
import { growsMemory } from '../feed-size.js';
import { FilesChanged } from '../session-files.js';
import type { Engine, EngineOptions, Session, SessionSpec } from '../session.js';
import { createCompiler, type Compiled, type Compiler, type Source } from './compiler.js';
import { requireLibrary } from './find-library.js';
import { loadLibrary, type Handle, type OpenvinoLibrary } from './library.js';

/** Throws OperatorError if OpenVINO or koffi is not installed, or does not load. */
export function createOpenvinoEngine({ threads, lanes = 1, libraryFolder, kept }: EngineOptions): Engine {
  const library = loadLibrary(requireLibrary({ folder: libraryFolder }));
  const core = library.createCore();
  const hasBrainFloats = library.cpuProperty(core, 'OPTIMIZATION_CAPABILITIES').split(' ').includes('BF16');
  const compiler = createCompiler({ library, core, threads, lanes, kept });
  return {
    autocast: hasBrainFloats ? 'bf16' : undefined,
    open: (spec) => openSession(library, compiler, spec, lanes),
  };
}

/**
 * A compiled model keeps the memory of the largest run that it ever had, until it is made anew. What takes longer to make keeps
 * its memory: otherwise any stranger's image would cost its worker that time.
 */
const MADE_FAST_MS = 1000;

async function openSession(
  library: OpenvinoLibrary,
  compiler: Compiler,
  spec: SessionSpec,
  lanes: number,
): Promise<Session> {
  const graph = applyWhereMatching(readOnnx(spec.model), [flattenOldSoftmax()]);
  let madeInMs = 0;
  let hasGrown = false;
  /** Of what was opened last. */
  let source: Source;
  let opened: Opened | undefined;
  let opening: Promise<void> | undefined;
  await reopen();

  /** Open what is not open, once for all runs that wait for it. */
  function reopen(): Promise<void> {
    opening ??= openAny().finally(() => (opening = undefined));
    return opening;
  }

  async function openAny(): Promise<void> {
    source = await compiler.sourceOf(spec, graph);
    try {
      opened = open(source);
    } catch (error) {
      if (!source.isKept) throw error;
      source = await source.original();
      opened = open(source);
    }
  }

  /** Throws FilesChanged if the files are not those that were digested. */
  function open({ files, make }: Source): Opened {
    files.assertSame();
    const started = performance.now();
    const compiled = make();
    madeInMs = performance.now() - started;
    try {
      files.assertSame();
      // All of them now: to make one waits for a run.
      const idle = Array.from({ length: lanes }, () => library.createRequest(compiled.model));
      return { compiled, source, idle, isOver: false };
    } catch (error) {
      compiled.free();
      throw error;
    }
  }

  /** No run begins with it any more. */
  function close(): void {
    const old = opened;
    opened = undefined;
    if (old === undefined) return;
    old.isOver = true;
    freeIdle(old);
  }

  /** Free it when no run has a request of it any more. */
  function freeIdle({ idle, compiled }: Opened): void {
    if (idle.length < lanes) return;
    idle.forEach((request) => library.freeRequest(request));
    compiled.free();
  }

  async function run(feeds: TensorMap, isRetry = false): Promise<TensorMap> {
    while (opened === undefined) await reopen();
    // Nothing may come between: what is closed is freed as soon as all of its requests are idle.
    const mine = opened;
    const request = mine.idle.pop();
    if (request === undefined) throw new Error(`more than ${lanes} runs at the same time`);
    try {
      return await runIn(mine, request, feeds);
    } catch (error) {
      if (!(error instanceof FilesChanged && mine.source.isKept) || isRetry) throw error;
    } finally {
      mine.idle.push(request);
      if (mine.isOver) freeIdle(mine);
    }
    // The kept model was damaged while it was in use. It is made again from the original, once for all lanes.
    if (opened === mine) close();
    return run(feeds, true);
  }

  async function runIn({ source: { files } }: Opened, request: Handle, feeds: TensorMap): Promise<TensorMap> {
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
  }

  /** One whose files have changed since stays as it is. */
  function renew(): void {
    hasGrown = false;
    try {
      source.files.assertSame();
      close();
      opened = open(source);
    } catch {
      // If it is closed, the next run tries again and says why.
    }
  }

  return {
    provider: 'cpu',
    run(feeds) {
      if (growsMemory(spec, feeds) && madeInMs <= MADE_FAST_MS) hasGrown = true;
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
  readonly source: Source;
  /** Requests that no run has now. Each has its own memory for activations. */
  readonly idle: Handle[];
  /** It is freed when all of them are idle. */
  isOver: boolean;
}
