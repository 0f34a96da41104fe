/**
 * The ONNX Runtime engine, and the only file that imports it. Hides its session options, its provider names and the
 * types of its tensors. `run()` blocks the thread it is called on, so sessions belong in workers (../worker.ts).
 *
 * Checked with onnxruntime-node 1.30: a model given as bytes finds its external weights if it is told their folder. A
 * location outside the folder is refused, also through a symbolic link. Outputs are ArrayBuffers of their own, copied
 * out of the arena, so they can be transferred.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { env, InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Device } from '../../device.js';
import { fixInputShapes } from '../../graph/onnx/model.js';
import type { Tensor, TensorMap, TensorType } from '../../tensor.js';
import { findOptimized, forgetOptimized } from '../optimized-models.js';
import type { Engine, EngineOptions, Session, SessionSpec } from '../session.js';

const TENSOR_TYPES: ReadonlySet<string> = new Set<TensorType>(['uint8', 'int32', 'int64', 'float32']);

/** The execution providers in the library; some of them need files that are not in the npm package. */
export function listProviders(): string[] {
  return listSupportedBackends().map(({ name }) => name);
}

/** An engine whose sessions run on `options.device`. */
export function createOnnxruntimeEngine(options: EngineOptions): Engine {
  env.logLevel = 'error';
  return {
    async open(spec) {
      const opened = await (options.device.kind === 'cpu' ? openOnCpu : openOnDevice)(spec, options);
      const unsupported = opened.session.outputMetadata.find(
        (output) => !output.isTensor || !TENSOR_TYPES.has(output.type),
      );
      if (unsupported !== undefined) {
        await opened.session.release();
        throw new Error(`the output ${unsupported.name} is not of type ${[...TENSOR_TYPES].join(', ')}`);
      }
      return wrap(spec, opened, options);
    },
  };
}

/** The source of a session: a model, and whether the engine still has to optimize it. */
interface Source extends Pick<SessionSpec, 'model' | 'weightsFolder'> {
  readonly optimization: 'all' | 'disabled';
}

interface Opened {
  readonly session: InferenceSession;
  readonly source: Source;
}

function optimizationOf({ asWritten = false }: SessionSpec): Source['optimization'] {
  return asWritten ? 'disabled' : 'all';
}

async function openOnDevice(spec: SessionSpec, options: EngineOptions): Promise<Opened> {
  const source: Source = { ...spec, optimization: optimizationOf(spec) };
  return { source, session: await create(source, options) };
}

/** Open the optimized model if it can be kept: its weights are then mapped, not copied. */
async function openOnCpu(spec: SessionSpec, options: EngineOptions): Promise<Opened> {
  const original: Source = { ...spec, optimization: optimizationOf(spec) };
  const folder = await findOptimizedModel(spec, options);
  if (folder !== undefined) {
    try {
      const model = await readFile(join(folder, OPTIMIZED_MODEL));
      const source: Source = { model, weightsFolder: folder, optimization: 'disabled' };
      return { source, session: await create(source, options) };
    } catch {
      await forgetOptimized(folder);
    }
  }
  return { source: original, session: await create(original, options) };
}

const OPTIMIZED_MODEL = 'model.onnx';

async function findOptimizedModel(spec: SessionSpec, options: EngineOptions): Promise<string | undefined> {
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
    const session = await create({ ...spec, optimization: 'all' }, options, writing);
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
 * Whether a run takes a second or more, and hundreds of megabytes. On the CPU such a run has a session of its own. For
 * one shape the engine knows all sizes and writes sums over their summands. Without an arena the memory goes back at
 * once; the shared session would keep it for good. `npm run load:sizes` measures both.
 */
function isLarge({ largeFeed = Infinity }: SessionSpec, feeds: TensorMap): boolean {
  return Object.values(feeds).some(({ data }) => data.byteLength >= largeFeed);
}

function wrap(spec: SessionSpec, { session, source }: Opened, options: EngineOptions): Session {
  const provider = options.device.kind;
  return {
    provider,
    async run(feeds) {
      if (provider !== 'cpu' || !isLarge(spec, feeds)) return runIn(session, feeds);
      const shapes = Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims]));
      const openFor = (from: Source): Promise<InferenceSession> =>
        create({ ...from, model: fixInputShapes(from.model, shapes) }, options, { arena: false });
      // The kept model may have been removed since to make room; the session itself still has it mapped.
      const alone = await openFor(source).catch((error: unknown) => {
        if (source.optimization === 'all') throw error;
        return openFor({ ...spec, optimization: optimizationOf(spec) });
      });
      try {
        return await runIn(alone, feeds);
      } finally {
        await alone.release();
      }
    },
    release: () => session.release(),
  };
}

async function runIn(session: InferenceSession, feeds: TensorMap): Promise<TensorMap> {
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
