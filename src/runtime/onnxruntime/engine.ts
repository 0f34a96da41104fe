/**
 * The ONNX Runtime engine, and the only file that imports it. Hides its session options, its provider names and the
 * types of its tensors. `run()` blocks the thread it is called on, so sessions belong in workers (../worker.ts).
 *
 * Checked with onnxruntime-node 1.30: a model given as bytes finds its external weights if it is told their folder. A
 * location outside the folder is refused, also through a symbolic link. External weights are mapped by their path and used
 * in place: session-files.ts sees to it that they are the ones that were digested. Outputs are ArrayBuffers of their own, copied
 * out of the arena, so they can be transferred.
 */
import { join } from 'node:path';
import { env, InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node';
import pLimit from 'p-limit';
import type { Device } from '../../device.js';
import { fixInputShapes } from '../../graph/onnx/model.js';
import type { Tensor, TensorMap, TensorType } from '../../tensor.js';
import { readBounded } from '../../regular-files.js';
import { removeFolder } from '../../kept-folders.js';
import { growsMemory, isLarge } from '../feed-size.js';
import { findOptimized, type OptimizedModel } from '../optimized-models.js';
import type { Engine, EngineOptions, Session, SessionSpec } from '../session.js';
import { FilesChanged, SessionFiles } from '../session-files.js';
import { ShapeSessions } from './shape-sessions.js';

const TENSOR_TYPES: ReadonlySet<string> = new Set<TensorType>(['uint8', 'int32', 'int64', 'float32']);

/** The execution providers in the library; some of them need files that are not in the npm package. */
export function listProviders(): string[] {
  return listSupportedBackends().map(({ name }) => name);
}

/**
 * An engine whose sessions run on `options.device`. `remembersOneShape` (DevicePolicy): shapes have sessions of their own.
 */
export function createOnnxruntimeEngine(
  options: EngineOptions,
  { remembersOneShape = false }: { readonly remembersOneShape?: boolean } = {},
): Engine {
  env.logLevel = 'error';
  if (!remembersOneShape) return { open: (spec) => openSession(spec, options) };
  const { maxCopiedBytes } = options;
  const shapes = new ShapeSessions({ ...(maxCopiedBytes !== undefined && { maxCopiedBytes }) });
  return { open: (spec) => shapes.open(spec, () => openSession(spec, options)) };
}

async function openSession(spec: SessionSpec, options: EngineOptions): Promise<Session> {
  const opened = await (options.device.kind === 'cpu' ? openOnCpu : openOnDevice)(spec, options);
  const unsupported = opened.session.outputMetadata.find(
    (output) => !output.isTensor || !TENSOR_TYPES.has(output.type),
  );
  if (unsupported !== undefined) {
    await opened.session.release();
    throw new Error(`the output ${unsupported.name} is not of type ${[...TENSOR_TYPES].join(', ')}`);
  }
  return wrap(spec, opened, options);
}

/** The source of a session: a model, and whether the engine still has to optimize it. */
interface Source extends Pick<SessionSpec, 'model' | 'weightsFolder'> {
  readonly optimization: 'all' | 'disabled';
  readonly files: SessionFiles;
  /** Whether the engine has made it and can make it again. */
  readonly isKept: boolean;
}

interface Opened {
  readonly session: InferenceSession;
  readonly source: Source;
}

function originalOf(spec: SessionSpec): Source {
  const { model, weightsFolder, weightsFiles, asWritten = false } = spec;
  return {
    model,
    ...(weightsFolder !== undefined && { weightsFolder }),
    optimization: asWritten ? 'disabled' : 'all',
    files: new SessionFiles(weightsFolder, weightsFiles),
    isKept: false,
  };
}

async function openOnDevice(spec: SessionSpec, options: EngineOptions): Promise<Opened> {
  return openFrom(originalOf(spec), options);
}

/** Open the optimized model if it can be kept: its weights are then mapped, not copied. */
async function openOnCpu(spec: SessionSpec, options: EngineOptions): Promise<Opened> {
  const kept = await findOptimizedModel(spec, options);
  if (kept !== undefined) {
    const { folder, files } = kept;
    try {
      const model = await readBounded(join(folder, OPTIMIZED_MODEL), MAX_OPTIMIZED_BYTES);
      const source = { model, weightsFolder: folder, files: new SessionFiles(folder, files), isKept: true } as const;
      return await openFrom({ ...source, optimization: 'disabled' }, options);
    } catch {
      await removeFolder(folder);
    }
  }
  return openFrom(originalOf(spec), options);
}

/** Open a session. Throws FilesChanged if the files of the source are not those that were digested. */
async function openFrom(source: Source, options: EngineOptions, how: CreateOptions = {}): Promise<Opened> {
  source.files.assertSame();
  const session = await create(source, options, how);
  try {
    source.files.assertSame();
    return { source, session };
  } catch (error) {
    await session.release();
    throw error;
  }
}

const OPTIMIZED_MODEL = 'model.onnx';

/** Its weights are in another file. */
const MAX_OPTIMIZED_BYTES = 2 ** 28;

async function findOptimizedModel(spec: SessionSpec, options: EngineOptions): Promise<OptimizedModel | undefined> {
  if (spec.digest === undefined || spec.asWritten || options.kept === undefined) return undefined;
  const kept = { ...options.kept, optimizer: `onnxruntime ${env.versions.node ?? ''}` };
  return findOptimized(kept, spec.digest, async (folder) => {
    const writing = {
      optimizedModelFilePath: join(folder, OPTIMIZED_MODEL),
      session: {
        optimized_model_external_initializers_file_name: 'weights.bin',
        optimized_model_external_initializers_min_size_in_bytes: '1024',
      },
    };
    const { session } = await openFrom(originalOf(spec), options, writing);
    await session.release();
  });
}

interface CreateOptions {
  readonly optimizedModelFilePath?: string;
  /** Configuration entries `session.…`. */
  readonly session?: Readonly<Record<string, string>>;
  /** Whether freed memory is kept for the next run. */
  readonly arena?: boolean;
}

function create(
  source: Source,
  { threads, device }: EngineOptions,
  { optimizedModelFilePath, session = {}, arena = true }: CreateOptions = {},
): Promise<InferenceSession> {
  return InferenceSession.create(source.model, {
    executionProviders: providersOf(device),
    graphOptimizationLevel: source.optimization,
    ...(optimizedModelFilePath === undefined ? {} : { optimizedModelFilePath }),
    executionMode: 'sequential',
    // Left unset, every session starts a thread for every core, and every worker has several sessions.
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Memory patterns keep a plan for each input shape ever seen; with varying sizes this doubles the peak memory.
    enableMemPattern: false,
    enableCpuMemArena: arena,
    logSeverityLevel: 3,
    extra: {
      session: {
        ...session,
        ...(source.weightsFolder === undefined
          ? {}
          : { model_external_initializers_file_folder_path: source.weightsFolder }),
        // Packed copies of the weights take memory and make float32 no faster (convolutions are in NCHWc by then);
        // quantized convolutions are 1.4 times faster with them.
        ...(isQuantized(source.model) ? {} : { disable_prepacking: '1' }),
        // A thread that spins between operators takes its core from the decoders, which makes both slower.
        intra_op: { allow_spinning: '0' },
      },
    },
  });
}

/**
 * An operator that the first provider lacks runs on the next, and in the end on the CPU, which ONNX Runtime adds
 * itself.
 */
function providersOf({ kind, index }: Device): InferenceSession.ExecutionProviderConfig[] {
  switch (kind) {
    case 'cuda':
      return [{ name: 'cuda', deviceId: index }];
    case 'tensorrt':
      return [
        { name: 'tensorrt', deviceId: index },
        { name: 'cuda', deviceId: index },
      ];
    case 'dml':
      return [{ name: 'dml', deviceId: index }];
    default:
      return [kind];
  }
}

/** Operators of quantized graphs, as written and as the engine has optimized them (QLinearConv, QGemm, …). */
const QUANTIZED_OPERATORS = ['QuantizeLinear', 'QLinear', 'QGemm', 'ConvInteger', 'MatMulInteger'];

/** Whether a model computes in integers: operator names stand in the serialized graph as they are. */
function isQuantized(model: Uint8Array): boolean {
  const bytes = Buffer.from(model.buffer, model.byteOffset, model.byteLength);
  return QUANTIZED_OPERATORS.some((operator) => bytes.includes(operator));
}

/**
 * The arena of a session keeps the most that a run ever took, until the session is opened anew. That takes a few milliseconds
 * with an optimized model that is kept, or with a small one. A large one that is not kept would be optimized, and its weights
 * copied, as often as somebody sends such an image: its arena stays.
 */
function wrap(spec: SessionSpec, first: Opened, options: EngineOptions): Session {
  const provider = options.device.kind;
  let opened = first;
  let hasGrown = false;
  /** A session is not replaced while it runs. */
  const turns = pLimit(1);

  /**
   * On the CPU a large run has a session of its own. For one shape the engine knows all sizes and writes sums over their summands.
   * Without an arena the memory goes back at once; the shared session would keep it for good. `npm run load:sizes` measures
   * both.
   */
  async function runAlone(feeds: TensorMap): Promise<TensorMap> {
    const shapes = Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims]));
    const openFor = (from: Source): Promise<Opened> =>
      openFrom({ ...from, model: fixInputShapes(from.model, shapes) }, options, { arena: false });
    // The kept model may have been removed since to make room; the session itself still has it mapped.
    const alone = await openFor(opened.source).catch((error: unknown) => {
      if (!opened.source.isKept) throw error;
      return openFor(originalOf(spec));
    });
    try {
      return await runIn(alone, feeds);
    } finally {
      await alone.session.release();
    }
  }

  async function runShared(feeds: TensorMap): Promise<TensorMap> {
    const opensFast = opened.source.isKept || spec.digest === undefined;
    if (provider === 'cpu' && opensFast && growsMemory(spec, feeds)) hasGrown = true;
    return runIn(opened, feeds);
  }

  /** In the place of a session whose arena has grown. One whose files have changed since stays, and its next run says so. */
  async function openAnew(): Promise<void> {
    hasGrown = false;
    const fresh = await openFrom(opened.source, options).catch(() => undefined);
    if (fresh === undefined) return;
    await opened.session.release();
    opened = fresh;
  }

  const attempt = (feeds: TensorMap): Promise<TensorMap> =>
    provider === 'cpu' && isLarge(spec, feeds) ? runAlone(feeds) : runShared(feeds);

  async function run(feeds: TensorMap): Promise<TensorMap> {
    try {
      return await attempt(feeds);
    } catch (error) {
      if (!(error instanceof FilesChanged && opened.source.isKept)) throw error;
      // The kept model was damaged while it was in use. It is made again from the original.
      const damaged = opened;
      opened = await openOnCpu(spec, options);
      await damaged.session.release();
      return attempt(feeds);
    }
  }

  return {
    provider,
    run: (feeds) => turns(run, feeds),
    get hasGrown() {
      return hasGrown;
    },
    shrink: () => turns(openAnew),
    release: () => turns(() => opened.session.release()),
  };
}

/** Run a session. Throws FilesChanged if the files that it has mapped have been written to. */
async function runIn({ session, source }: Opened, feeds: TensorMap): Promise<TensorMap> {
  source.files.assertIntact();
  const outputs = await runUnchecked(session, feeds);
  source.files.assertIntact();
  return outputs;
}

async function runUnchecked(session: InferenceSession, feeds: TensorMap): Promise<TensorMap> {
  const ortFeeds = Object.entries(feeds).map(
    ([name, { type, data, dims }]) => [name, new OrtTensor(type, data, dims)] as const,
  );
  return fromOrt(await session.run(Object.fromEntries(ortFeeds)));
}

/** The types of the outputs were checked when the session was opened. */
function fromOrt(outputs: InferenceSession.OnnxValueMapType): TensorMap {
  const tensors = Object.entries(outputs).map(([name, value]) => {
    const { type, dims, data } = value;
    return [name, { type, dims, data } as Tensor] as const;
  });
  return Object.fromEntries(tensors);
}
