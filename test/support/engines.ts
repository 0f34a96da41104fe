/**
 * The engines that the conformance suite runs against: ONNX Runtime, and TensorFlow.js' kernels on every backend that
 * works here. OpenVINO and TensorFlow's own binding are in the list if they are installed.
 */
import { createRequire } from 'node:module';
import '@tensorflow/tfjs-backend-wasm';
import { createOnnxruntimeEngine } from '../../src/runtime/onnxruntime/engine.js';
import { createOpenvinoEngine } from '../../src/runtime/openvino/engine.js';
import { findLibrary } from '../../src/runtime/openvino/find-library.js';
import type { Engine, EngineOptions, SessionSpec } from '../../src/runtime/session.js';
import { loadTensorFlow } from '../../src/runtime/tensorflow/binding.js';
import { engineOn } from '../../src/runtime/tensorflow/engine.js';
import type { TensorMap, TensorType } from '../../src/tensor.js';
import type { Value } from './ort.js';
import { tf } from './tfjs.js';

export interface TestedEngine {
  readonly name: string;
  /** Start it. TensorFlow.js has one backend at a time in a process, so only the one that was started last can run. */
  readonly start: () => Promise<Engine>;
  /** Largest difference to ONNX Runtime, as a part of the largest value. */
  readonly tolerance: number;
  /** Whether it is fast enough for networks of the published sizes. */
  readonly fast: boolean;
}

const onTensorFlowJs = async (backend: 'cpu' | 'wasm'): Promise<Engine> => {
  if (!(await tf.setBackend(backend))) throw new Error(`the backend ${backend} does not start`);
  return engineOn({ tf, provider: backend });
};

/** TensorFlow's bindings that are installed. */
export const INSTALLED_BINDINGS = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'].filter(isInstalled);

/** Those that this Node can load: see binding.ts. */
export const BINDINGS = Number(process.versions.node.split('.')[0]) < 23 ? INSTALLED_BINDINGS : [];

if (BINDINGS.length < INSTALLED_BINDINGS.length) {
  const names = INSTALLED_BINDINGS.join(', ');
  process.stderr.write(`notice: ${names} does not run on Node ${process.versions.node}; its tests are skipped\n`);
}

export const TENSORFLOW_ENGINES: readonly TestedEngine[] = [
  { name: 'tensorflow (wasm)', start: () => onTensorFlowJs('wasm'), tolerance: 1e-4, fast: true },
  { name: 'tensorflow (JavaScript)', start: () => onTensorFlowJs('cpu'), tolerance: 1e-4, fast: false },
  ...BINDINGS.slice(0, 1).map((name) => ({
    name: `tensorflow (${name})`,
    start: async () => engineOn(await loadTensorFlow(['cuda', 'cpu'])),
    // GPUs may round to the 10 bits of TF32.
    tolerance: name.endsWith('gpu') ? 1e-3 : 1e-4,
    fast: true,
  })),
];

/** Where OpenVINO is, by FULLCONV_OPENVINO or by itself; undefined where it is not installed. */
export const OPENVINO = findLibrary({ folder: process.env['FULLCONV_OPENVINO'] });

if (OPENVINO === undefined) {
  if (process.env['REQUIRE_OPENVINO'] !== undefined) throw new Error('OpenVINO is not installed');
  process.stderr.write('notice: OpenVINO is not installed; its tests are skipped\n');
}

const OPENVINO_ENGINES: readonly TestedEngine[] =
  OPENVINO === undefined
    ? []
    : [{ name: 'openvino', start: () => Promise.resolve(startOpenvino()), tolerance: 1e-4, fast: true }];

/** On one thread. */
export function startOpenvino(options: Partial<EngineOptions> = {}): Engine {
  return createOpenvinoEngine({
    ...options,
    threads: 1,
    device: { kind: 'cpu', index: 0 },
    libraryFolder: process.env['FULLCONV_OPENVINO'],
  });
}

/** Those that are held against ONNX Runtime. */
export const OTHER_ENGINES: readonly TestedEngine[] = [...OPENVINO_ENGINES, ...TENSORFLOW_ENGINES];

export const ENGINES: readonly TestedEngine[] = [
  {
    name: 'onnxruntime',
    start: () => Promise.resolve(createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 } })),
    tolerance: 1e-4,
    fast: true,
  },
  ...OTHER_ENGINES,
];

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(`${name}/package.json`);
    return true;
  } catch {
    return false;
  }
}

/** Open, run once, release. */
export async function runOn(
  engine: Engine,
  spec: Omit<SessionSpec, 'id'>,
  feeds: Readonly<Record<string, Value>>,
): Promise<TensorMap> {
  const session = await engine.open({ ...spec, id: 'test' });
  try {
    return await session.run(asFeeds(feeds));
  } finally {
    await session.release();
  }
}

const TYPES = new Map<unknown, TensorType>([
  [Float32Array, 'float32'],
  [Uint8Array, 'uint8'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
]);

/** Values as the engine takes them. */
export function asFeeds(values: Readonly<Record<string, Value>>): TensorMap {
  const feeds = Object.entries(values).map(([name, { data, dims }]) => {
    return [name, { type: TYPES.get(data.constructor)!, data, dims }] as const;
  });
  return Object.fromEntries(feeds);
}
