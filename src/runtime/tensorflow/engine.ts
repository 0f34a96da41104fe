/**
 * The TensorFlow engine: TensorFlow.js' kernels under an interpreter of our graphs (program.ts). Hides the library's
 * tensors and its types, which have neither 64-bit integers nor bytes.
 */
import type { DataType, Graph } from '../../graph/graph.js';
import { readOnnx } from '../../graph/onnx/model.js';
import type { Tensor, TensorMap, TensorType, TypedArrays } from '../../tensor.js';
import type { Engine, EngineOptions, Session, SessionSpec } from '../session.js';
import { SessionFiles } from '../session-files.js';
import { loadTensorFlow, type LoadedTensorFlow } from './binding.js';
import { compileProgram, type Program } from './program.js';
import type { Tensor as TfTensor, TensorFlow } from './tensors.js';

const TENSOR_TYPES: ReadonlySet<DataType> = new Set<TensorType>(['uint8', 'int32', 'int64', 'float32']);

/** Load TensorFlow for `options.device`. Throws OperatorError that says how to install it. */
export async function createTensorflowEngine({ device }: EngineOptions): Promise<Engine> {
  return engineOn(await loadTensorFlow([device.kind]));
}

/** An engine on a backend that is loaded. */
export function engineOn({ tf, provider }: LoadedTensorFlow): Engine {
  return {
    open: (spec) => Promise.resolve().then(() => openSession(tf, provider, spec)),
  };
}

function openSession(tf: TensorFlow, provider: string, { model, weightsFolder, weightsFiles }: SessionSpec): Session {
  const graph = readOnnx(model);
  for (const { name, dataType } of [...graph.inputs, ...graph.outputs]) {
    if (!TENSOR_TYPES.has(dataType))
      throw new Error(`the value ${name} is not of type ${[...TENSOR_TYPES].join(', ')}`);
  }
  const files = new SessionFiles(weightsFolder, weightsFiles);
  files.assertSame();
  const program = compileProgram(tf, graph, weightsFolder);
  // It has read them: what becomes of them later is no matter.
  files.assertSame();
  return {
    provider,
    run: (feeds) => runProgram(tf, graph, program.run, feeds),
    release() {
      program.release();
      return Promise.resolve();
    },
  };
}

async function runProgram(
  tf: TensorFlow,
  { inputs, outputs }: Graph,
  run: Program['run'],
  feeds: TensorMap,
): Promise<TensorMap> {
  const fed = new Map<string, TfTensor>();
  let results: ReadonlyMap<string, TfTensor> = new Map();
  try {
    for (const { name, dataType } of inputs) fed.set(name, toTensorFlow(tf, name, dataType, feeds[name]));
    results = run(fed);
    const read = outputs.map(async ({ name, dataType }) => {
      const tensor = results.get(name)!;
      return [name, fromTensorFlow(dataType as TensorType, tensor.shape, await tensor.data())] as const;
    });
    return Object.fromEntries(await Promise.all(read));
  } finally {
    tf.dispose([...fed.values(), ...results.values()]);
  }
}

function toTensorFlow(tf: TensorFlow, name: string, dataType: DataType, feed: Tensor | undefined): TfTensor {
  if (feed === undefined) throw new Error(`the input ${name} is missing`);
  if (feed.type !== dataType) throw new Error(`the input ${name} is ${feed.type}, but must be ${dataType}`);
  const { data, dims } = feed;
  if (data instanceof Float32Array) return tf.tensor(data, [...dims], 'float32');
  return tf.tensor(data instanceof BigInt64Array ? narrow(name, data) : new Int32Array(data), [...dims], 'int32');
}

function narrow(name: string, data: BigInt64Array): Int32Array {
  if (data.some((value) => BigInt.asIntN(32, value) !== value)) {
    throw new Error(`the input ${name} has a value beyond 32 bits, which TensorFlow.js cannot hold`);
  }
  return Int32Array.from(data, Number);
}

/** A copy: some backends return memory that they continue to use. */
function fromTensorFlow(type: TensorType, dims: readonly number[], values: ArrayLike<number>): Tensor {
  return { type, dims, data: copyAs(type, values) };
}

function copyAs(type: TensorType, values: ArrayLike<number>): TypedArrays[TensorType] {
  switch (type) {
    case 'float32':
      return new Float32Array(values);
    case 'int32':
      return new Int32Array(values);
    case 'uint8':
      return new Uint8Array(values);
    case 'int64':
      return BigInt64Array.from(Array.from(values), BigInt);
  }
}
