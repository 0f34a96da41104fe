/** A file that a command writes over an older one replaces it as a whole: who has the older one keeps it. */
import { link, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { inspectCommand } from '../../../src/cli/commands/inspect.js';
import { planOutputs } from '../../../src/cli/files/output-files.js';
import { readConfig } from '../../../src/config.js';
import { writeReport } from '../../../src/experiments/report.js';

let root: string;
let at: (name: string) => string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-written-'));
  at = (name) => join(root, name);
});
afterEach(() => rm(root, { recursive: true }));

const PHOTO = { path: '/nowhere/photo.jpg', name: 'photo.jpg' };
const GROUND = { models: [], processor: 'none', cores: 1, date: 'today', version: '0' };
const REPORT = { experiment: 'width', title: 'wide', ground: GROUND, data: {} };

const WRITERS: [string, string, () => Promise<unknown>][] = [
  [
    'the picture of one image',
    'map.png',
    async () => {
      const outputs = await planOutputs({ files: [PHOTO], empty: [], isSingle: true }, { output: at('map.png') });
      await outputs.write(outputs.pathOf(PHOTO)!, Buffer.from('picture'));
    },
  ],
  [
    'the pictures of several',
    'photo.png',
    async () => {
      const outputs = await planOutputs({ files: [PHOTO], empty: [], isSingle: false }, { output: root });
      await outputs.write(outputs.pathOf(PHOTO)!, Buffer.from('picture'));
    },
  ],
  [
    'the drawing of a net',
    'net.svg',
    () => inspectCommand(readConfig({}), 'resnet20_cifar', { draw: true, output: at('net.svg') }),
  ],
  [
    'the plots of an experiment',
    'wide.svg',
    () => {
      const plot = { figure: 'wide', caption: '', draw: () => Promise.resolve('<svg/>') };
      return writeReport({ ...REPORT, sections: [plot] }, root);
    },
  ],
  ['the report of an experiment', 'report.md', () => writeReport({ ...REPORT, sections: [] }, root)],
];

it.each(WRITERS)('%s', async (_, name, write) => {
  await writeFile(at(name), 'older');
  await link(at(name), at('kept'));
  await write();
  expect(await readFile(at(name), 'utf8')).not.toBe('older');
  expect(await readFile(at('kept'), 'utf8')).toBe('older');
  expect((await readdir(root)).filter((each) => each.endsWith('.tmp'))).toEqual([]);
});
