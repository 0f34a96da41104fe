import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SETTING_LIST } from '../../src/config.js';
import { writeTinyModels } from '../support/tiny-models.js';

const ENTRY = fileURLToPath(new URL('../../dist/cli/fullconv.cjs', import.meta.url));
const photo = (name: string): string => fileURLToPath(new URL(`../fixtures/photos/${name}`, import.meta.url));

let models: string;
let folder: string;
beforeAll(async () => {
  models = await writeTinyModels();
  folder = await mkdtemp(join(tmpdir(), 'fullconv-cli-'));
});
afterAll(() => Promise.all([models, folder].map((path) => rm(path, { recursive: true }))));

async function fullconv(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, FULLCONV_MODELS: models };
  return promisify(execFile)(process.execPath, [ENTRY, ...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  );
}

describe('fullconv', () => {
  it('classify prints tables, and JSON for programs', async () => {
    const table = await fullconv('classify', photo('coffee.png'), photo('grace_hopper.jpg'));
    expect(table.stderr).toBe('');
    expect(table.stdout).toMatch(/coffee\.png {2}600×400, scale 1\n.*probability\n(thing, number \d.*%\n){5}/);
    const json = await fullconv('classify', '--json', '--top', '2', '--scale', '1,2', photo('coffee.png'));
    const results = JSON.parse(json.stdout) as { predictions: unknown[]; input: { scale: number } }[];
    expect(results.map(({ input, predictions }) => [input.scale, predictions.length])).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  it('classify says which file is bad, and ends with 1', async () => {
    const bad = join(folder, 'bad.png');
    await writeFile(bad, 'nothing');
    const { code, stdout, stderr } = await fullconv('classify', bad, photo('coffee.png'));
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/bad\.png: /);
    expect(stdout).toContain('coffee.png');
  });

  it('heatmap writes a PNG at the photo’s size', async () => {
    const output = join(folder, 'map.png');
    const { stdout, code } = await fullconv('heatmap', photo('coffee.png'), '-o', output, '--class', 'id-3', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ id: 'id-3' });
    expect(await sharp(await readFile(output)).metadata()).toMatchObject({ format: 'png', width: 600, height: 400 });
    const unknown = await fullconv('heatmap', photo('coffee.png'), '-o', output, '--class', 'unicorn');
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toMatch(/unicorn/);
  });

  it('models lists them', async () => {
    const { stdout } = await fullconv('models');
    expect(stdout).toMatch(/tiny-resnet \(default\) +ready +resnet18/);
    expect(stdout).toMatch(/tiny-vgg +ready +vgg11/);
  });

  it('evaluate counts the right answers, by folders and by annotations', async () => {
    const known = await fullconv('classify', '--json', '--fit', 'stretch', photo('coffee.png'), photo('chelsea.png'));
    const [coffee, cat] = (JSON.parse(known.stdout) as { predictions: { id: string }[] }[]).map(({ predictions }) =>
      predictions.map(({ id }) => id),
    );
    // The first image is given its best class, the second its third: top-1 is one of two, top-5 both.
    const byFolder = join(folder, 'by-folder');
    for (const [id, file] of [
      [coffee![0]!, 'coffee.png'],
      [cat![2]!, 'chelsea.png'],
    ] as const) {
      await mkdir(join(byFolder, id), { recursive: true });
      await copyFile(photo(file), join(byFolder, id, file));
    }
    const tiny = join(folder, 'tiny');
    await mkdir(join(tiny, 'images'), { recursive: true });
    await copyFile(photo('coffee.png'), join(tiny, 'images', 'val_0.png'));
    await copyFile(photo('chelsea.png'), join(tiny, 'images', 'val_1.png'));
    await writeFile(
      join(tiny, 'val_annotations.txt'),
      `val_0.png\t${coffee![0]}\t0\t0\t9\t9\nval_1.png\t${cat![2]}\t0\t0\t9\t9\n`,
    );
    for (const dataset of [byFolder, tiny]) {
      const { stdout, stderr } = await fullconv('evaluate', '--json', '--fit', 'stretch', dataset);
      expect(JSON.parse(stdout), stderr).toMatchObject([
        { model: 'tiny-resnet', images: 2, 'top-1 %': 50, 'top-5 %': 100 },
      ]);
    }
    const empty = await fullconv('evaluate', join(models, 'tiny-vgg'));
    expect(empty.code).toBe(1);
    expect(empty.stderr).toMatch(/no image of a class/);
  });

  it('serve --help lists every setting with its variable, flag and default', async () => {
    const { stdout } = await fullconv('serve', '--help');
    const text = stdout.replace(/\s+/g, ' ');
    for (const { variable, flag } of SETTING_LIST) {
      expect(text).toContain(`${flag} <value>`);
      expect(text).toContain(`[${variable},`);
    }
  });
});
