import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesOf, isUseful, packageFolders } from '../../../../load/gpu/modules.js';
import { PARTS_FILE, type Group } from '../../../../load/gpu/parts.js';
import { unpackParts } from '../../../../load/gpu/unpack.js';
import { writeGroup } from '../../../../load/gpu/write-parts.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-parts-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const canPack = ['tar', 'gzip'].every((name) => spawnSync(name, ['--version']).status === 0);

describe.skipIf(!canPack)('parts', () => {
  let groups: Group[];
  const options = () => ({ target: folder, maxBytes: 1000, level: 1 });

  beforeEach(async () => {
    groups = [];
    for (const name of ['1-core', '2-models']) {
      const source = join(folder, name);
      await mkdir(join(source, 'deep'), { recursive: true });
      // Nothing that gzip could make small.
      const bytes = Uint8Array.from({ length: 5000 }, (_, index) => (index * index * 31 + (index >> 3) * 17) & 255);
      await writeFile(join(source, 'deep', `${name}.bin`), bytes);
      groups.push(await writeGroup({ name, holds: 'a file', compression: 'gzip', folder: source }, options()));
    }
    await writeFile(join(folder, PARTS_FILE), JSON.stringify({ kind: 'gpu-kit', version: 1, groups, commit: 'abc' }));
  });

  it('have at most the size asked for, and together are the folder', async () => {
    const [, models] = groups;
    expect(models!.parts.length).toBeGreaterThan(1);
    expect(models!.parts[0]!.file).toBe(`fullconv-gpu-2-models.tar.gz.01of0${models!.parts.length}`);
    for (const { file, bytes } of models!.parts) {
      expect(bytes).toBeLessThanOrEqual(1000);
      expect((await readFile(join(folder, file))).length).toBe(bytes);
    }
    const target = join(folder, 'target');
    await mkdir(target);
    const { states } = await unpackParts(folder, target);
    expect(states.map(({ state }) => state)).toEqual(['unpacked', 'unpacked']);
    const path = 'deep/2-models.bin';
    expect(await readFile(join(target, path))).toEqual(await readFile(join(folder, '2-models', path)));
  });

  it('are unpacked once, and again when they are others', async () => {
    const target = join(folder, 'target');
    await mkdir(target);
    await unpackParts(folder, target);
    const file = join(target, 'deep/2-models.bin');
    await writeFile(file, 'mine');
    await unpackParts(folder, target);
    expect(await readFile(file, 'utf8')).toBe('mine');
    const source = join(folder, '2-models');
    await writeFile(join(source, 'deep', '2-models.bin'), 'newer');
    const newer = await writeGroup(
      { name: '2-models', holds: 'a file', compression: 'gzip', folder: source },
      options(),
    );
    await writeFile(join(folder, PARTS_FILE), JSON.stringify({ groups: [groups[0], newer] }));
    await unpackParts(folder, target);
    expect(await readFile(file, 'utf8')).toBe('newer');
  });

  it('that are missing or damaged are left alone, by name', async () => {
    const target = join(folder, 'target');
    await mkdir(target);
    const [first, second] = groups[1]!.parts;
    await writeFile(join(folder, second!.file), Buffer.alloc(second!.bytes));
    const damaged = (await unpackParts(folder, target)).states[1]!.state;
    expect(damaged).toBe(`${second!.file} is damaged: its digest is another`);
    await rm(join(folder, first!.file));
    expect((await unpackParts(folder, target)).states[1]!.state).toBe(`${first!.file} is not there`);
  });
});

describe('packages', () => {
  const write = async (path: string, manifest: object): Promise<void> => {
    await mkdir(join(folder, path), { recursive: true });
    await writeFile(join(folder, path, 'package.json'), JSON.stringify(manifest));
  };

  it('are those that are needed, as Node finds them, for Linux on x64', async () => {
    await write('node_modules/a', { dependencies: { b: '1', '@c/d': '1' }, optionalDependencies: { absent: '1' } });
    await write('node_modules/a/node_modules/b', { dependencies: { shared: '1' } });
    await write('node_modules/b', {});
    await write('node_modules/shared', { dependencies: { a: '1' } });
    await write('node_modules/unneeded', {});
    await write('node_modules/@c/d', { optionalDependencies: { mac: '1', linux: '1', musl: '1' } });
    await write('node_modules/mac', { os: ['darwin'], cpu: ['arm64'] });
    await write('node_modules/linux', { os: ['linux'], cpu: ['x64'], libc: ['glibc'] });
    await write('node_modules/musl', { os: ['linux'], cpu: ['x64'], libc: ['musl'] });
    expect(await packageFolders(folder, ['a', 'absent'])).toEqual(
      ['@c/d', 'a', 'a/node_modules/b', 'linux', 'shared'].map((name) => `node_modules/${name}`),
    );
  });

  it('come without what no program reads, and without what other systems read', async () => {
    for (const file of ['index.js', 'index.js.map', 'README.md', 'LICENSE', 'types.d.ts', 'node_modules/inner.js']) {
      await mkdir(join(folder, 'node_modules'), { recursive: true });
      await writeFile(join(folder, file), '');
    }
    expect((await filesOf(folder)).sort()).toEqual(['LICENSE', 'index.js']);
    const kept = [
      'bin/linux/x64/a.node',
      'lib/libvips.so.8.18',
      'build/linux_x64/koffi.node',
      'darwin.js',
      'win32/index.js',
    ];
    const left = ['bin/linux/arm64/a.node', 'bin/win32/x64/a.dll', 'build/darwin_x64/koffi.node', 'musl-x64/a.so.1'];
    expect([...kept, ...left].filter(isUseful)).toEqual(kept);
  });
});
