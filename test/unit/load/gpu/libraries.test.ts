import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findLibraries, missingLibraries } from '../../../../load/gpu/libraries.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-libraries-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

it('are found in the folders of Python packages, behind those that are set', async () => {
  const packages = join(folder, 'site-packages');
  for (const name of ['nvidia/cu13/lib', 'nvidia/cudnn/lib', 'tensorrt_libs', 'nvidia/cudnn/include']) {
    await mkdir(join(packages, name), { recursive: true });
    await writeFile(join(packages, name, 'a.so'), '');
  }
  const own = join(folder, 'own');
  await mkdir(own);
  await writeFile(join(own, 'libvulkan.so.1'), '');
  // A Python that says where it looks.
  const python = join(folder, 'python3');
  await writeFile(python, `#!/bin/sh\necho '["/nowhere", "${packages}"]'\n`);
  await chmod(python, 0o755);
  vi.stubEnv('PATH', `${folder}:/usr/bin:/bin`);
  vi.stubEnv('LD_LIBRARY_PATH', '/set/before');
  const { folders, environment } = await findLibraries(own);
  expect(folders.slice(0, 4)).toEqual([
    own,
    join(packages, 'nvidia/cu13/lib'),
    join(packages, 'nvidia/cudnn/lib'),
    join(packages, 'tensorrt_libs'),
  ]);
  expect(environment['LD_LIBRARY_PATH']!.split(':').slice(0, 2)).toEqual(['/set/before', own]);
});

const compiles = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
if (!compiles) console.warn('what native files lack is not tested: there is no gcc for Linux on x64');

describe.skipIf(!compiles)('what native files lack', () => {
  it('is all named, with who wants it, unless it is in a folder that is given', async () => {
    const libraries = join(folder, 'libraries');
    const modules = join(folder, 'modules', 'native');
    await mkdir(libraries);
    await mkdir(modules, { recursive: true });
    const compile = (output: string, ...args: string[]) =>
      execFileSync('gcc', ['-shared', '-x', 'c', '/dev/null', '-o', output, '-Wl,--no-as-needed', ...args]);
    for (const name of ['one', 'two']) {
      compile(join(libraries, `lib${name}.so.9`), `-Wl,-soname,lib${name}.so.9`);
    }
    const links = ['one', 'two'].map((name) => join(libraries, `lib${name}.so.9`));
    execFileSync('gcc', [...['-shared', '-o', join(modules, 'addon.node'), '-Wl,--no-as-needed', ...links]]);
    await writeFile(join(modules, 'other.node'), 'for another system');
    const missing = await missingLibraries(join(folder, 'modules'), {});
    expect([...missing]).toEqual([
      ['libone.so.9', ['native/addon.node']],
      ['libtwo.so.9', ['native/addon.node']],
    ]);
    expect([...(await missingLibraries(join(folder, 'modules'), { LD_LIBRARY_PATH: libraries }))]).toEqual([]);
  });
});
