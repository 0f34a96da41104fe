/**
 * A new engine is a folder that describes itself and its place in the list: a copy of the sources with one that nobody has
 * (fixtures/abacus-engine.ts) is built, and tries, serves and refuses as it says, though nothing else in the copy knows it.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';
import { buildCopy, copySources } from '../support/source-copy.js';
import { writeTinyModels } from '../support/tiny-models.js';

const DESCRIPTION = fileURLToPath(new URL('../fixtures/abacus-engine.ts', import.meta.url));
const PHOTO = fileURLToPath(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));

let copy: string;
let models: string;

beforeAll(async () => {
  [copy, models] = await Promise.all([copySources(), writeTinyModels()]);
  await addEngine();
  await buildCopy(copy);
});

afterAll(() => Promise.all([copy, models].map((folder) => rm(folder, { recursive: true }))));

/** The folder and the line. */
async function addEngine(): Promise<void> {
  const description = await readFile(DESCRIPTION, 'utf8');
  await mkdir(join(copy, 'src/runtime/abacus'));
  await writeFile(join(copy, 'src/runtime/abacus/description.ts'), description.replaceAll('../../src/runtime/', '../'));
  const list = join(copy, 'src/runtime/engines.ts');
  const text = await readFile(list, 'utf8');
  const longer = text.replace('[onnxruntime, openvino, tensorflow]', '[onnxruntime, openvino, tensorflow, abacus]');
  expect(longer).not.toBe(text);
  await writeFile(list, `import { abacus } from './abacus/description.js';\n${longer}`);
}

const start = (device: string): Promise<ServerProcess> =>
  startServer(
    { FULLCONV_MODELS: models, FULLCONV_ENGINE: 'abacus', FULLCONV_DEVICE: device },
    join(copy, 'dist/cli/fullconv.cjs'),
  );

it('a made-up engine is tried, served and fed as it says of itself', async () => {
  const server = await start('brass:1');
  try {
    const { device, models } = (await (await fetch(`${server.url}/v1/models`)).json()) as {
      device: { names: string[]; why: string };
      models: { state: string; provider: string }[];
    };
    expect(device.names).toEqual(['brass:1']);
    expect(device.why).toMatch(/^asked for; brass:1 runs the probe net in \d/);
    expect(models.map(({ state, provider }) => ({ state, provider }))).toEqual([
      { state: 'ready', provider: 'brass' },
      { state: 'ready', provider: 'brass' },
    ]);
    const response = await fetch(`${server.url}/v1/classify`, { method: 'POST', body: await readFile(PHOTO) });
    expect(response.status).toBe(200);
    const ready = server.log.find((line) => line.includes('"msg":"ready"'))!;
    expect(JSON.parse(ready)).toMatchObject({ engine: 'abacus', device: 'brass:1', provider: 'brass', workers: 1 });
  } finally {
    expect(await server.stop()).toBe(0);
  }
});

it('its devices are its own, as the refusals and the help say', async () => {
  await expect(start('cuda')).rejects.toThrow('FULLCONV_DEVICE=cuda: abacus runs on wood, brass only');
  await expect(start('brass:9')).rejects.toThrow('FULLCONV_DEVICE=brass:9: abacus has eight hands');
  await expect(start('wood:1')).rejects.toThrow('wood takes no number, only cuda, tensorrt, dml, brass do');
  const entry = join(copy, 'dist/cli/fullconv.cjs');
  const { stdout } = await promisify(execFile)(process.execPath, [entry, 'serve', '--help']);
  const help = stdout.replace(/\s+/g, ' ');
  expect(help).toContain(
    'openvino and tensorflow are installed separately, see docs/engines.md; abacus is made of wood',
  );
  expect(help).toContain('(engine openvino: cpu; engine tensorflow: cpu, cuda or wasm; engine abacus: wood or brass)');
});
