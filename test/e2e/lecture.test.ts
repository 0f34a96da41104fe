/** Every command of docs/lecture is run, and prints what the page says; every drawing on it is what its command draws now. */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENTRY, runFullconv } from '../support/command-line.js';
import { recipesOf } from '../support/recipes.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LECTURE = join(ROOT, 'docs', 'lecture');
const PHOTOS = join(ROOT, 'test', 'fixtures', 'photos');
const page = await readFile(join(LECTURE, 'README.md'), 'utf8');

/** The drawings of the page, each with what `inspect` is asked. */
const DRAWINGS: Readonly<Record<string, readonly string[]>> = {
  'basic-block': ['resnet18', '--part', 'layer1.0'],
  bottleneck: ['resnet50', '--part', 'layer1.1'],
  'pre-activation': ['preresnet18', '--part', 'stages.0.blocks.1'],
  resnext: ['resnext50_32x4d', '--part', 'layer1.1'],
  'multi-resnet': ['multi_resnet_basic_cifar', '--part', 'stages.0.blocks.1'],
  polynet: ['polynet', '--part', 'stage_b.0'],
  inception: ['inception_v4', '--part', 'features.6'],
  'inception-resnet': ['inception_resnet_v2', '--part', 'repeat.0'],
  'dense-block': ['densenet40_k12_cifar'],
  fractal: ['fractalnet_cifar', '--option', 'columns=3', '--option', 'blocks=1'],
  ror: ['ror3_56_cifar'],
  highway: ['highway19_cifar'],
  nin: ['nin_cifar'],
  'spatial-transformer': ['stn_mnist'],
  recurrent: ['recurrent_resnet_cifar', '--option', 'steps=3'],
};

let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'fullconv-lecture-'));
  const programs = join(place, 'node_modules', '.bin');
  await mkdir(programs, { recursive: true });
  await writeFile(join(programs, 'fullconv'), `#!/bin/sh\nexec "${process.execPath}" "${ENTRY}" "$@"\n`, {
    mode: 0o755,
  });
  for (const photo of await readdir(PHOTOS)) await copyFile(join(PHOTOS, photo), join(place, photo));
});
afterAll(() => rm(place, { recursive: true }));

describe('the commands', () => {
  const recipes = recipesOf(page);

  it.each(recipes.map(({ program, prints = '' }) => [program, prints] as const))('%s', (program, prints) => {
    const environment = {
      ...process.env,
      FULLCONV_ENGINE: 'onnxruntime',
      FULLCONV_DEVICE: 'cpu',
      FULLCONV_WORKERS: '1',
    };
    const { stdout, stderr, status } = spawnSync('bash', ['-euo', 'pipefail', '-c', program], {
      cwd: place,
      encoding: 'utf8',
      env: environment,
    });
    expect(status, stderr).toBe(0);
    expect(stdout).toBe(prints);
  });
});

describe('the drawings', () => {
  it('are all on the page, and no others', () => {
    const shown = [...page.matchAll(/!\[[^\]]+\]\(([\w-]+)\.svg\)/g)].map(([, name]) => name);
    expect(shown.sort()).toEqual(Object.keys(DRAWINGS).sort());
  });

  it.each(Object.entries(DRAWINGS))('%s', async (name, asked) => {
    const { stdout, stderr, code } = await runFullconv({}, 'inspect', ...asked, '--draw');
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(await readFile(join(LECTURE, `${name}.svg`), 'utf8'));
  });
});
