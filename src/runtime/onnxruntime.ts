/**
 * The ONNX Runtime engine, and the only file that imports it. Hides its session options, its provider names and the
 * types of its tensors. `run()` blocks the thread it is called on: sessions belong into workers (worker.ts).
 *
 * Checked with onnxruntime-node 1.30: a model given as bytes finds its external weights when it
 * is told their folder; a location that leaves the folder, through a symbolic link too, is refused. Outputs are
 * ArrayBuffers of their own, copied out of the arena, so they can be transferred.
 */
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Tensor, TensorMap, TensorType } from '../tensor.js';
import type { Engine, EngineOptions, Session, SessionSpec } from './session.js';

const TENSOR_TYPES: ReadonlySet<string> = new Set<TensorType>(['uint8', 'int32', 'int64', 'float32']);

/** An engine whose sessions run on the first of `options.providers` that opens the model. */
export function createOnnxruntimeEngine(options: EngineOptions): Engine {
  env.logLevel = 'error';
  return {
    name: 'onnxruntime',
    async open(spec) {
      const { provider, session } = await openOnFirstProvider(spec, options);
      const unsupported = session.outputMetadata.find((output) => !output.isTensor || !TENSOR_TYPES.has(output.type));
      if (unsupported !== undefined) {
        await session.release();
        throw new Error(`the output ${unsupported.name} is not of type ${[...TENSOR_TYPES].join(', ')}`);
      }
      return wrap(session, provider);
    },
  };
}

/** ONNX Runtime throws for an absent provider even when `cpu` stands after it, so each is tried by itself. */
async function openOnFirstProvider(
  spec: SessionSpec,
  options: EngineOptions,
): Promise<{ provider: string; session: InferenceSession }> {
  const failures: { provider: string; error: unknown }[] = [];
  for (const provider of options.providers) {
    try {
      return { provider, session: await InferenceSession.create(spec.model, sessionOptions(spec, options, provider)) };
    } catch (error) {
      failures.push({ provider, error });
    }
  }
  if (failures.length === 1) throw failures[0]!.error;
  const reasons = failures.map(({ provider, error }) => `${provider}: ${String(error)}`);
  throw new Error(`no execution provider opens the model. ${reasons.join('; ')}`);
}

function sessionOptions(
  spec: SessionSpec,
  { threads }: EngineOptions,
  provider: string,
): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    // Left unset, every session starts a thread for every core, and every worker has several sessions.
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A plan for each input shape ever seen: with varying sizes it doubles the peak memory.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        ...(spec.weightsFolder === undefined
          ? {}
          : { model_external_initializers_file_folder_path: spec.weightsFolder }),
        // Packed copies of the weights take memory and make float32 no faster (convolutions are in NCHWc by then);
        // quantized convolutions are 1.4 times faster with them.
        ...(isQuantized(spec.model) ? {} : { disable_prepacking: '1' }),
        // A thread that spins between operators takes its core from the decoders, which makes both slower.
        intra_op: { allow_spinning: '0' },
      },
    },
  };
}

/** Whether a model computes in integers: operator names stand in the serialized graph as they are. */
function isQuantized(model: Uint8Array): boolean {
  return Buffer.from(model.buffer, model.byteOffset, model.byteLength).includes('QuantizeLinear');
}

function wrap(session: InferenceSession, provider: string): Session {
  return {
    provider,
    async run(feeds) {
      const ortFeeds = Object.entries(feeds).map(
        ([name, { type, data, dims }]) => [name, new OrtTensor(type, data, dims)] as const,
      );
      return fromOrt(await session.run(Object.fromEntries(ortFeeds)));
    },
    release: () => session.release(),
  };
}

/** The types of the outputs were checked when the session was opened. */
function fromOrt(outputs: InferenceSession.OnnxValueMapType): TensorMap {
  const tensors = Object.entries(outputs).map(([name, value]) => {
    const { type, dims, data } = value;
    return [name, { type, dims, data } as Tensor] as const;
  });
  return Object.fromEntries(tensors);
}
