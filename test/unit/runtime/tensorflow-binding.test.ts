/** What is said of TensorFlow where it is not installed, or not as it should be: package folders that behave alike. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import { loadTensorFlow, type LoadedTensorFlow } from '../../../src/runtime/tensorflow/binding.js';

const [CPU, GPU] = ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'] as const;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-binding-'));
});
afterEach(() => rm(root, { recursive: true }));

async function install(name: string, code: string, version = '4.22.0'): Promise<void> {
  const folder = join(root, 'node_modules', name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version, main: 'index.js' }));
  await writeFile(join(folder, 'index.js'), code);
}

/** Loads, with a backend that is on a GPU or not. */
const working = (usesGpu: boolean): string =>
  `exports.enableProdMode = () => {}; exports.setBackend = () => true; exports.backend = () => ({ isUsingGpuDevice: ${usesGpu} });`;

const load = (providers: string[], nodeVersion = '22.11.0'): Promise<LoadedTensorFlow> =>
  loadTensorFlow(providers, { require: createRequire(join(root, 'program.js')), nodeVersion });

async function refusal(providers: string[], nodeVersion?: string): Promise<string> {
  const error: unknown = await load(providers, nodeVersion).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OperatorError);
  return (error as OperatorError).message;
}

describe('TensorFlow that is not installed', () => {
  it('is asked for with the command that installs it, and with what it needs', async () => {
    const message = await refusal(['cuda', 'cpu']);
    expect(message).toContain(
      `cuda: ${GPU} is not installed: npm install --save-prod ${GPU}@4.22.0 && npm rebuild ${GPU} `,
    );
    expect(message).toContain(
      `cpu: ${CPU} is not installed: npm install --save-prod ${CPU}@4.22.0 && npm rebuild ${CPU} `,
    );
    expect(message).toContain('TensorFlow 2.9.1, which needs CUDA 11.2 and cuDNN 8.1');
    expect(message).toContain('Both run on Node 20 and 22, not on 23 or later.');
  });

  it('says which packages the WebAssembly backend is', async () => {
    expect(await refusal(['wasm'])).toContain(
      'npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0',
    );
  });
});

describe('TensorFlow that cannot be loaded', () => {
  it('keeps what the package says of an addon that was never fetched, without its other advice', async () => {
    await install(
      CPU,
      `throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: /x/tfjs_binding.node. \\nPlease run command …")`,
    );
    const message = await refusal(['cpu']);
    expect(message).toContain(
      `${CPU} is installed, but its native part cannot be loaded: The Node.js native addon module (tfjs_binding.node) can not be found at path: /x/tfjs_binding.node. To fetch it: npm rebuild ${CPU} --ignore-scripts=false`,
    );
    expect(message).not.toContain('Please run command');
  });

  it('keeps what the loader says of a library that is missing', async () => {
    await install(
      GPU,
      `throw Object.assign(new Error('libtensorflow.so.2: cannot open shared object file: No such file or directory'), { code: 'ERR_DLOPEN_FAILED' })`,
    );
    expect(await refusal(['cuda'])).toContain('cannot be loaded: libtensorflow.so.2: cannot open shared object file');
  });

  it('is not tried on a Node that it does not run on', async () => {
    await install(CPU, `throw new Error('loaded')`);
    expect(await refusal(['cpu'], '23.0.0')).toContain(
      `${CPU} 4.22.0 does not run on Node 23.0.0: it calls functions that Node 23 removed (util.isNullOrUndefined). Use Node 22`,
    );
    expect(await refusal(['cpu'], '22.0.0')).toContain('loaded');
  });

  it('is tried on any Node once a later release is installed', async () => {
    await install(CPU, working(false), '4.23.0');
    expect(await load(['cpu'], '24.1.0')).toMatchObject({ provider: 'cpu' });
  });
});

describe('TensorFlow that is installed', () => {
  it('computes on the GPU that it sees, and says so', async () => {
    await install(GPU, working(true));
    expect(await load(['cuda'])).toMatchObject({ provider: 'cuda' });
  });

  it('does not pass a CPU off as a GPU, and says what to do', async () => {
    await install(GPU, working(false));
    expect(await refusal(['cuda'])).toContain(`${GPU} sees no GPU; its log says which library it does not find`);
    expect(await load(['cuda', 'cpu'])).toMatchObject({ provider: 'cpu' });
  });

  it('says that the package for CPUs has to make room for the one for GPUs', async () => {
    await install(CPU, working(false));
    expect(await refusal(['cuda'])).toContain(`npm uninstall ${CPU} && npm install --save-prod ${GPU}@4.22.0`);
  });

  it('is that for GPUs only where one is asked for', async () => {
    await install(CPU, working(false));
    await install(GPU, working(true));
    expect(await load(['cpu'])).toMatchObject({ provider: 'cpu' });
    expect(await load(['cuda', 'cpu'])).toMatchObject({ provider: 'cuda' });
  });

  it('is refused for a provider that it does not have', async () => {
    expect(await refusal(['webgpu'])).toContain('webgpu: the tensorflow engine has the providers cuda, cpu and wasm');
  });
});
