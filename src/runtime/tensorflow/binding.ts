/**
 * Loads TensorFlow, which is not a dependency of this program: users of this engine install its binding for Node or its
 * WebAssembly backend. Hides which packages those are, how they are loaded, and what they say if they cannot be.
 *
 * Source: @tensorflow/tfjs-node 4.22 (TensorFlow 2.9.1): scripts/install.js, dist/index.js,
 * dist/nodejs_kernel_backend.js.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { OperatorError } from '../../errors.js';
import type { TensorFlow } from './tensors.js';

export interface LoadedTensorFlow {
  readonly tf: TensorFlow;
  /** The provider really in use: `cuda`, `cpu` or `wasm`. */
  readonly provider: string;
}

export interface LoadOptions {
  /** Finds packages as `require` does. Default: those installed beside this program. */
  readonly require?: NodeJS.Require;
  /** As in process.versions.node. */
  readonly nodeVersion?: string;
}

const GPU_BINDING = '@tensorflow/tfjs-node-gpu';
const CPU_BINDING = '@tensorflow/tfjs-node';
const CORE = '@tensorflow/tfjs-core';
const WASM_BACKEND = '@tensorflow/tfjs-backend-wasm';

/** The newest release. It calls util.isNullOrUndefined and util.isArray, which Node 23 removed. */
const RELEASE = '4.22.0';
const FIRST_NODE_WITHOUT_THEM = 23;

/**
 * npm does not install an optional peer that is only named, so the command makes it a dependency. Install scripts are
 * off in this project's .npmrc, so the command runs the binding's own, which fetches TensorFlow.
 */
const installing = (name: string): string =>
  `npm install --save-prod ${name}@${RELEASE} && npm rebuild ${name} --ignore-scripts=false`;

const REQUIREMENTS = [
  `${GPU_BINDING} computes on NVIDIA GPUs with TensorFlow 2.9.1, which needs CUDA 11.2 and cuDNN 8.1 (or later 11.x and 8.x);`,
  `${CPU_BINDING} on the CPU. Both run on Node 20 and 22, not on ${FIRST_NODE_WITHOUT_THEM} or later.`,
].join(' ');

/**
 * Load the first of these providers that works. If none does, throws OperatorError that says what each lacks and which
 * command installs it.
 */
export async function loadTensorFlow(
  providers: readonly string[],
  { require: from = createRequire(import.meta.url), nodeVersion = process.versions.node }: LoadOptions = {},
): Promise<LoadedTensorFlow> {
  const failures: string[] = [];
  for (const provider of providers) {
    try {
      return await load(provider, from, nodeVersion, providers);
    } catch (error) {
      failures.push(`${provider}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new OperatorError(`FULLCONV_ENGINE=tensorflow cannot be used. ${failures.join('; ')}. ${REQUIREMENTS}`);
}

/** The providers that `FULLCONV_DEVICE=auto` may try: `cuda` only if the binding for GPUs is installed. */
export function listProviders(from: NodeJS.Require = createRequire(import.meta.url)): string[] {
  return installedVersion(from, GPU_BINDING) === undefined ? ['cpu'] : ['cuda', 'cpu'];
}

async function load(
  provider: string,
  from: NodeJS.Require,
  nodeVersion: string,
  wanted: readonly string[],
): Promise<LoadedTensorFlow> {
  switch (provider) {
    case 'cuda':
    case 'cpu': {
      const names = wanted.includes('cuda') ? [GPU_BINDING, CPU_BINDING] : [CPU_BINDING, GPU_BINDING];
      return loadBinding(names, provider, from, nodeVersion);
    }
    case 'wasm':
      return loadWasm(from);
    default:
      throw new Error('the tensorflow engine has the providers cuda, cpu and wasm');
  }
}

/** Load TensorFlow's C library. One process can hold only one build of it, so both providers use the installed one. */
async function loadBinding(
  names: readonly string[],
  provider: string,
  from: NodeJS.Require,
  nodeVersion: string,
): Promise<LoadedTensorFlow> {
  const name = names.find((each) => installedVersion(from, each) !== undefined);
  const wanted = provider === 'cuda' ? GPU_BINDING : CPU_BINDING;
  if (name === undefined) throw new Error(`${wanted} is not installed: ${installing(wanted)}`);
  refuseNode(name, installedVersion(from, name)!, nodeVersion);
  const tf = loadAddon(name, from);
  await tf.setBackend('tensorflow');
  const { isUsingGpuDevice: usesGpu } = tf.backend() as { isUsingGpuDevice?: boolean };
  if (provider === 'cuda' && usesGpu !== true) {
    const remedy =
      name === GPU_BINDING
        ? 'its log says which library it does not find'
        : `install the package for GPUs instead: npm uninstall ${name} && ${installing(GPU_BINDING)}`;
    throw new Error(`${name} sees no GPU; ${remedy}`);
  }
  tf.enableProdMode();
  return { tf, provider: usesGpu === true ? 'cuda' : 'cpu' };
}

function refuseNode(name: string, version: string, nodeVersion: string): void {
  const isAffected = version.localeCompare(RELEASE, 'en', { numeric: true }) <= 0;
  if (!isAffected || parseInt(nodeVersion, 10) < FIRST_NODE_WITHOUT_THEM) return;
  throw new Error(
    `${name} ${version} does not run on Node ${nodeVersion}: it calls functions that Node ${FIRST_NODE_WITHOUT_THEM} removed (util.isNullOrUndefined). Use Node 22`,
  );
}

/** The package's own messages are kept: they name the file that is missing. */
function loadAddon(name: string, from: NodeJS.Require): TensorFlow {
  try {
    return from(name) as TensorFlow;
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0]!.replace(/\.?\s*$/, '');
    throw new Error(
      `${name} is installed, but its native part cannot be loaded: ${reason}. To fetch it: npm rebuild ${name} --ignore-scripts=false`,
      { cause: error },
    );
  }
}

/** Version of an installed package; undefined where it is not. */
function installedVersion(from: NodeJS.Require, name: string): string | undefined {
  let file: string;
  try {
    file = from.resolve(`${name}/package.json`);
  } catch {
    return undefined;
  }
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

async function loadWasm(from: NodeJS.Require): Promise<LoadedTensorFlow> {
  const missing = [CORE, WASM_BACKEND].filter((name) => installedVersion(from, name) === undefined);
  if (missing.length > 0) {
    throw new Error(
      `${missing.join(' and ')} not installed: npm install ${CORE}@${RELEASE} ${WASM_BACKEND}@${RELEASE}`,
    );
  }
  const tf = from(CORE) as TensorFlow;
  tf.enableProdMode();
  from(WASM_BACKEND);
  if (!(await tf.setBackend('wasm'))) throw new Error(`${WASM_BACKEND} does not start`);
  return { tf, provider: 'wasm' };
}
