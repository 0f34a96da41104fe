/**
 * The kit for GPUs, rehearsed: packed from this checkout, and run on a machine that has next to nothing and no network, with the CPU
 * in the place of a device. Skipped with a notice where no such machine can be made.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { globSync } from 'tinyglobby';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ceilingsOf } from '../../load/gpu/ceilings.js';
import type { PartsList } from '../../load/gpu/parts.js';
import { rowsOf, type GpuReport } from '../../load/gpu/report.js';
import { inEmptyRoot, makeEmptyRoot, whyNoEmptyRoot } from '../support/empty-root.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** What the kit may rely on: a shell, tar, and what unpacks its parts. */
const COMMANDS = ['sh', 'tar', 'gzip', 'cat', 'mkdir', 'rm', 'dirname'];
const NATIVE = ['node_modules/@img/sharp*-linux-x64/lib/*', 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/*'];
const SMALL = [
  ...[
    '--models',
    'tinyimagenet-resnet18-w48',
    '--goldens',
    'squeezenet1_1',
    '--devices',
    'onnxruntime/cpu,tensorflow/cpu',
  ],
  ...['--batches', '1,2', '--clients', '2', '--sides', '64'],
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-gpu-kit-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const readReport = async (results: string): Promise<GpuReport> =>
  JSON.parse(await readFile(join(results, 'gpu.json'), 'utf8')) as GpuReport;

/** A binding of TensorFlow that says that it was found, and needs a package that the server has in another version. */
async function fakeBinding(modules: string): Promise<void> {
  const files = {
    '@tensorflow/tfjs-node/package.json': { version: '4.22.0', main: 'index.js', dependencies: { fastify: '1' } },
    '@tensorflow/tfjs-node/index.js': "throw new Error('made up, with fastify ' + require('fastify'))",
    'fastify/package.json': { version: '1.0.0', main: 'index.js' },
    'fastify/index.js': "module.exports = 'of its own'",
  };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await writeFile(join(modules, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
}

const lack = await whyNoEmptyRoot(COMMANDS);
if (lack !== undefined) console.warn(`the rehearsal of the GPU kit is skipped: ${lack}`);

describe.skipIf(lack !== undefined)('the kit', () => {
  let kit: string;
  let machine: string;
  const measure = (...options: string[]) => {
    const [command, ...args] = inEmptyRoot(machine, ['/kit/run', ...SMALL, '--output', '/results', ...options]);
    return run(command!, args, { env: { PATH: '/bin:/usr/bin:/sbin:/usr/sbin' }, maxBuffer: 2 ** 26 });
  };
  const bring = async (names: readonly string[]): Promise<void> => {
    for (const name of names) await copyFile(join(kit, name), join(machine, 'kit', name));
  };

  beforeAll(async () => {
    kit = join(folder, 'packed');
    machine = join(folder, 'machine');
    const extra = join(folder, 'extra');
    await mkdir(extra);
    await writeFile(join(extra, 'hello.txt'), 'hello');
    const tensorflow = join(folder, 'tensorflow');
    await fakeBinding(join(tensorflow, 'node_modules'));
    const small = [
      '--compress',
      'gzip',
      '--level',
      '1',
      '--limit-mb',
      '40',
      '--folder',
      `extra=${extra}`,
      '--tensorflow',
      tensorflow,
    ];
    await run(process.execPath, ['dist/load-gpu/pack.js', '--output', kit, ...small], { cwd: ROOT });
    // glibc and GCC's libraries are on every machine, as far as Node and the native parts want them.
    const native = globSync(NATIVE, { cwd: ROOT, absolute: true });
    await makeEmptyRoot(machine, COMMANDS, [process.execPath, ...native]);
    await mkdir(join(machine, 'kit'));
  });

  it('is in parts of at most the size asked for, the first of which is all that is needed to begin', async () => {
    const list = JSON.parse(await readFile(join(kit, 'parts.json'), 'utf8')) as PartsList;
    expect(list.groups.map(({ name }) => name)).toEqual(['1-core', '2-models', '3-tensorflow', '4-folder-extra']);
    const parts = list.groups.flatMap((group) => group.parts);
    expect(Math.max(...parts.map(({ bytes }) => bytes))).toBeLessThanOrEqual(40e6);
    expect((await readdir(kit)).sort()).toEqual(
      [...parts.map(({ file }) => file), 'SHA256SUMS', 'parts.json', 'run'].sort(),
    );
    await bring(['run', 'SHA256SUMS']);
    const core = list.groups[0]!.parts.map(({ file }) => file);
    expect(core.length).toBeGreaterThan(1);
    await bring(core.slice(1));
    await expect(measure()).rejects.toMatchObject({
      code: 2,
      stderr: `run: only ${core.length - 1} of ${core.length} files of the first part are there\n`,
    });

    await bring(['parts.json', core[0]!]);
    await measure('--models', 'resnet20_cifar', '--steps', 'engine', '--seconds', '300');
    const report = await readReport(join(machine, 'results'));
    expect(report.parts.map(({ state }) => state)).toEqual([
      'unpacked',
      expect.stringMatching(/^fullconv-gpu-2-models\S+ is not there$/),
      expect.stringMatching(/^fullconv-gpu-3-tensorflow\S+ is not there$/),
      expect.stringMatching(/^fullconv-gpu-4-folder-extra\S+ is not there$/),
    ]);
    expect(rowsOf(report, 'engine').map(({ model, batch }) => [model, batch])).toEqual([
      ['resnet20_cifar', 1],
      ['resnet20_cifar', 2],
    ]);
  });

  it('measures every step on a machine without anything, and says what is missing', async () => {
    const others = (await readdir(kit)).filter((name) => /gpu-[2-4]/.test(name));
    await bring(others);
    // A part that was cut off on its way.
    await truncate(join(machine, 'kit', others.at(-1)!), 10);
    // A busy machine takes its time; an idle one needs half a minute, because every measurement has an end of its own.
    const { stdout } = await measure('--seconds', '900');
    const report = await readReport(join(machine, 'results'));
    expect(report.parts.map(({ state }) => state)).toEqual([
      'unpacked',
      'unpacked',
      'unpacked',
      expect.stringMatching(/ has 10 bytes, not \d+$/),
    ]);
    expect(report.state).toBe('over');
    expect(report.elapsedSeconds).toBeLessThan(900);
    const why = JSON.stringify(report.steps, null, 1);
    const states = Object.fromEntries(report.steps.map(({ name, state }) => [name, state]));
    const cpu = 'on onnxruntime/cpu';
    expect(states, why).toEqual({
      devices: 'done',
      [`answers ${cpu} in fp32`]: 'done',
      [`engine ${cpu} in fp32`]: 'done',
      torch: 'skipped',
      decoding: 'done',
      fronts: 'done',
      [`server ${cpu} in fp32`]: 'done',
      [`heatmaps ${cpu} in fp32`]: 'done',
      [`answers ${cpu} in tf32`]: 'skipped',
      [`answers ${cpu} in fp16`]: 'skipped',
      [`answers ${cpu} in bf16`]: 'skipped',
    });
    const facts = Object.fromEntries(rowsOf(report, 'fact').map(({ key, value }) => [key, value]));
    expect(facts).toMatchObject({ card: 'there is no nvidia-smi', python3: 'there is no python3' });
    expect(rowsOf(report, 'device')).toMatchObject([
      { device: 'onnxruntime/cpu', probe: {} },
      { device: 'tensorflow/cpu', failure: expect.stringContaining('made up, with fastify of its own') as string },
    ]);

    const answers = rowsOf(report, 'answer');
    expect(answers.filter(({ failure }) => failure !== undefined)).toHaveLength(3);
    const compared = answers.filter(({ failure }) => failure === undefined);
    expect(compared.map(({ model }) => model).sort()).toEqual(
      ['imagenet-efficientnet-lite0', 'squeezenet1_1', 'tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32'].sort(),
    );
    for (const { model, error, bound } of compared) expect(error, model).toBeLessThan(bound!);

    const changing = rowsOf(report, 'changing-counts');
    // A busy machine may have no time for more.
    expect(changing.slice(0, 2)).toMatchObject([
      { batch: 1, other: 2, planned: true },
      { batch: 2, other: 1, planned: true },
    ]);
    for (const { sameMs, changedMs } of changing) expect(Math.min(sameMs, changedMs)).toBeGreaterThan(0);

    const [ceilings] = ceilingsOf(report);
    expect(ceilings!.binds).toMatch(/^(engine|decoding|fronts)/);
    expect(ceilings!.ceiling).toBeGreaterThan(0);
    expect(ceilings!.server).toBeGreaterThan(0);
    const [served] = rowsOf(report, 'server');
    expect(served).toMatchObject({ clients: 2, sample: { errors: 0 } });
    expect(served!.runCost!.msPerGmac).toBeGreaterThan(0);
    expect(rowsOf(report, 'heatmap')[0]!.ms).toBeGreaterThan(0);
    expect(stdout).toBe(await readFile(join(machine, 'results', 'gpu.md'), 'utf8'));
    expect(stdout).toContain('## What binds');
  });
});

it.skipIf(process.platform !== 'linux')('a run that is cut off leaves what it had found, and no process', async () => {
  const results = join(folder, 'cut');
  const program = resolve(ROOT, 'dist/load-gpu/run.js');
  const child = spawn(process.execPath, [program, ...SMALL, '--steps', 'engine', '--output', results], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LOAD_GPU_TEST: folder },
  });
  const found = async (): Promise<number> => {
    const report = await readReport(results).catch(() => undefined);
    return report === undefined ? 0 : rowsOf(report, 'engine').length;
  };
  await expect.poll(found).toBeGreaterThan(0);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const report = await readReport(results);
  expect(report.state).toBe('running');
  expect(await readFile(join(results, 'gpu.md'), 'utf8')).toContain('was cut off');
  const alive = async (): Promise<string[]> => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const marked = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')));
    return pids.filter((_, index) => marked[index]!.includes(`LOAD_GPU_TEST=${folder}`));
  };
  await expect.poll(alive).toEqual([]);
});
