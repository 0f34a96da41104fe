import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { compileModel, denseViews, loadNetwork } from '../../../src/models/compile.js';
import { ModelFileError } from '../../../src/models/files/model-file-error.js';
import { createNetworkLoader } from '../../../src/models/load-thread.js';
import { readModelFolder, type ModelFolder } from '../../../src/models/manifest.js';
import { HEADS, TINY, tinyClassifier } from '../../support/tiny-classifiers.js';
import { writeOnnxModel, writeTinyModel } from '../../support/tiny-models.js';

const workerFile = fileURLToPath(new URL('../../../dist/models/load-worker.js', import.meta.url));
const load = createNetworkLoader({ workerFile });

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-load-thread-'));
});
afterAll(() => rm(root, { recursive: true }));

const onnx = async (name: string, bytes = writeOnnx(tinyClassifier(HEADS[0]!))): Promise<ModelFolder> =>
  readModelFolder(await writeOnnxModel(root, name, bytes, TINY));

describe('a network that is loaded on a thread', () => {
  it('is the one that the caller would load, and compiles to the same sessions', async () => {
    const content = await onnx('tiny');
    expect(await load(content, root)).toEqual(await loadNetwork(content, root));
    const [here, there] = await Promise.all(
      [undefined, load].map((loader) => compileModel(content, { load: 1, cache: root, loadNetwork: loader })),
    );
    expect(there!.digest).toBe(here!.digest);
    expect(there!.classifier.session).toEqual(here!.classifier.session);
    expect(denseViews(there!).view().session).toEqual(denseViews(here!).view().session);
  });

  it('is refused as the caller would refuse it', async () => {
    const content = await onnx('broken', Uint8Array.of(8, 8));
    const here: unknown = await loadNetwork(content, root).catch((error: unknown) => error);
    const there: unknown = await load(content, root).catch((error: unknown) => error);
    expect(there).toBeInstanceOf(ModelFileError);
    const { file, field, detail } = here as ModelFileError;
    expect(there).toMatchObject({ file, field, detail, message: (here as Error).message });
  });

  it('tells the operator what is wrong with the settings', async () => {
    const workerFile = join(root, 'unwritable.mjs');
    const error = { message: 'FULLCONV_CACHE=/x: cannot be written', stack: '', isForOperator: true };
    await writeFile(
      workerFile,
      `import { parentPort } from 'node:worker_threads'; parentPort.postMessage(${JSON.stringify({ kind: 'failed', error })});`,
    );
    const loading = createNetworkLoader({ workerFile })(await onnx('settings'), root);
    await expect(loading).rejects.toBeInstanceOf(OperatorError);
  });

  it.each<[string, string, RegExp, number?]>([
    ['that never comes back', 'for (;;);', /model\.onnx: file: was not read in 1 s$/, 1000],
    [
      'that needs ever more memory',
      'const all = []; for (;;) all.push({ a: all.length, b: [] });',
      /model\.onnx: file: needs more than 32 MiB to be read$/,
    ],
    ['that ends', 'process.exit(0);', /the thread ended/],
    ['that throws', 'throw new Error("by itself");', /by itself/],
  ])('is given up, and nothing else is, on a thread %s', async (_, script, message, limitMs = 60_000) => {
    const file = join(root, 'worker.mjs');
    await writeFile(file, script);
    const loader = createNetworkLoader({ workerFile: file, limitMs, heapMb: 32 });
    await expect(loader(await onnx('odd'), root)).rejects.toThrow(message);
  });

  it('is on no thread when its architecture is built in', async () => {
    await writeTinyModel(root, 'tiny-resnet');
    const content = await readModelFolder(join(root, 'tiny-resnet'));
    const loader = createNetworkLoader({ workerFile: join(root, 'nowhere.mjs') });
    expect(await loader(content, root)).toEqual(await loadNetwork(content, root));
  });
});
