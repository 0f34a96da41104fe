/** Where OpenVINO is found: folders as each way of installing it makes them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import { findLibrary, requireLibrary, type SearchOptions } from '../../../src/runtime/openvino/find-library.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-openvino-'));
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, content = ''): Promise<string> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

const WHEEL = 'openvino/libs/libopenvino_c.so.2641';

/** On a machine with nothing but what the test has put there. */
const find = (environment: Record<string, string>, options: SearchOptions = {}) =>
  findLibrary({ environment, require: createRequire(join(root, 'program.js')), platform: 'linux', ...options });

describe('OpenVINO’s library is found', () => {
  it.each([
    ['a virtual environment', 'lib/python3.12/site-packages', (at: string) => ({ VIRTUAL_ENV: at })],
    ['Conda', 'lib/python3.11/site-packages', (at: string) => ({ CONDA_PREFIX: at })],
    [
      'an interpreter on the path',
      'lib/python3.10/site-packages',
      (at: string) => ({ PATH: ['/x', join(at, 'bin')].join(delimiter) }),
    ],
    ['Debian’s Python', 'lib/python3/dist-packages', (at: string) => ({ PATH: join(at, 'bin') })],
    [
      'an interpreter of pyenv',
      'versions/3.11.7/lib/python3.11/site-packages',
      (at: string) => ({ PATH: join(at, 'shims') }),
    ],
  ])('in the wheel that pip has installed: %s', async (_, packages, environment) => {
    const path = await put(join(packages, WHEEL));
    expect(find(environment(root))).toEqual({ path, source: 'PyPI' });
  });

  it('in the npm package, before the wheel', async () => {
    await put('node_modules/openvino-node/package.json', '{}');
    const path = await put('node_modules/openvino-node/bin/libopenvino_c.so.2640');
    await put(join('lib/python3.12/site-packages', WHEEL));
    expect(find({ VIRTUAL_ENV: root })).toEqual({ path, source: 'npm' });
  });

  it('where setupvars.sh says, or the dynamic linker looks', async () => {
    const path = await put('runtime/lib/intel64/libopenvino_c.so');
    expect(find({ INTEL_OPENVINO_DIR: root })).toEqual({ path, source: 'system' });
    expect(find({ LD_LIBRARY_PATH: dirname(path) })).toEqual({ path, source: 'system' });
  });

  it.each(['', 'runtime/lib/intel64', 'libs', 'lib/python3.12/site-packages/openvino/libs'])(
    'below the folder that is given, and nowhere else: %s',
    async (below) => {
      const path = await put(join('given', below, 'libopenvino_c.so.2641'));
      await put(join('lib/python3.12/site-packages', WHEEL));
      expect(find({ VIRTUAL_ENV: root }, { folder: join(root, 'given') })).toEqual({
        path,
        source: 'FULLCONV_OPENVINO',
      });
      expect(find({ VIRTUAL_ENV: root }, { folder: join(root, 'elsewhere') })).toBeUndefined();
    },
  );

  it('the newest of several, by the number in its name', async () => {
    await put('libs/libopenvino_c.so.2540');
    const path = await put('libs/libopenvino_c.so.2641');
    await put('libs/libopenvino_c.so.2641.bak');
    await put('libs/libopenvino.so.2700');
    expect(find({}, { folder: root })?.path).toBe(path);
  });

  it('under the name that the system gives it', async () => {
    const path = await put('libs/libopenvino_c.2641.dylib');
    expect(find({}, { folder: root, platform: 'darwin' })?.path).toBe(path);
    expect(find({}, { folder: root })).toBeUndefined();
  });
});

describe('OpenVINO that is not there', () => {
  const refusal = (options: SearchOptions): OperatorError => {
    try {
      requireLibrary({ environment: {}, require: createRequire(join(root, 'program.js')), ...options });
    } catch (error) {
      expect(error).toBeInstanceOf(OperatorError);
      return error as OperatorError;
    }
    throw new Error('it was found');
  };

  it('is asked for with the command that installs it', () => {
    // Where it is installed for the whole system, it is found.
    if (find({}) !== undefined) return;
    expect(refusal({ platform: 'linux' }).message).toBe(
      'OpenVINO is not installed: python3 -m pip install openvino; or set FULLCONV_OPENVINO to the folder where it is',
    );
  });

  it('is said to be missing in the folder that is given', () => {
    expect(refusal({ folder: root, platform: 'linux' }).message).toMatch(
      new RegExp(
        `^FULLCONV_OPENVINO=${root}: there is no C library of OpenVINO in this folder or in runtime/lib/intel64, `,
      ),
    );
  });

  it('is not looked for on systems for which the engine is not made', () => {
    expect(find({}, { folder: root, platform: 'win32' })).toBeUndefined();
    expect(refusal({ platform: 'win32' }).message).toBe('the engine openvino is for Linux and macOS');
  });
});
