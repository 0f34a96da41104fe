import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ENTRY = fileURLToPath(new URL('../../dist/load.cjs', import.meta.url));

let cache: string;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'fullconv-load-'));
});
afterAll(() => rm(cache, { recursive: true }));

const load = (...args: string[]) => loadWith({}, ...args);

const loadWith = (settings: Record<string, string>, ...args: string[]) =>
  promisify(execFile)(process.execPath, [ENTRY, ...args], {
    env: { ...process.env, FULLCONV_CACHE: cache, ...settings },
  });

it('a load test measures every load of a scenario, and leaves no weights behind', async () => {
  const { stdout } = await load(
    ...['--models', 'tinyimagenet-vgg11bn-w32,resnet20_cifar', '--mixed-models', '--sizes', '320x240'],
    ...['--duration', '0.2', '--rounds', '1', '--concurrency', '2', '--open-loop', '0.5'],
  );
  const row = '| tinyimagenet-vgg11bn-w32 + resnet20_cifar-untrained | fp32 | classify | 320x240 |';
  // The closed loop, the two models at once and one by one, the open loop, and what the server did in both loops.
  expect(stdout.split('\n').filter((line) => line.startsWith(row))).toHaveLength(5);
  expect(stdout).not.toContain('Notes');
  expect((await readdir(cache)).filter((name) => name.startsWith('load-'))).toEqual([]);
});

it('a model that cannot run is a row with its reason, and the others are measured', async () => {
  const models = join(cache, 'models');
  const damaged = join(models, 'damaged');
  await mkdir(damaged, { recursive: true });
  await writeFile(join(damaged, 'model.json'), '{}');
  await symlink(resolve('models/tinyimagenet-vgg11bn-w32'), join(models, 'tinyimagenet-vgg11bn-w32'));
  const { stdout } = await loadWith(
    { FULLCONV_MODELS: models },
    ...[
      '--models',
      'damaged,tinyimagenet-vgg11bn-w32',
      '--duration',
      '0.2',
      '--rounds',
      '1',
      '--concurrency',
      '2',
      '--open-loop',
      'none',
    ],
  );
  // Nothing but the report: the log is elsewhere.
  expect(stdout).toMatch(/^\d{4}-[^]*\| tinyimagenet-vgg11bn-w32 \| fp32 \| classify \| photos \| 2 \|/);
  expect(stdout).toMatch(
    /\*\*Not measured[^]*\| damaged \| fp32 \| classify \| photos \| damaged is not ready: .*model\.json/,
  );
});

it('an int8 form that nobody has made is made for the load test', async () => {
  const { stdout } = await load(
    ...['--models', 'resnet20_cifar', '--precision', 'fp32,int8', '--view', 'classify,heatmap'],
    ...['--duration', '0.2', '--rounds', '1', '--concurrency', '1', '--open-loop', 'none'],
  );
  for (const view of ['classify', 'heatmap']) {
    expect(stdout).toContain(`| resnet20_cifar-untrained-int8 | int8 | ${view} | photos | 1 |`);
  }
  expect(stdout).not.toContain('Notes');
});

it('the comparison with peers names an option that does not exist, and nothing else', async () => {
  const peers = fileURLToPath(new URL('../../dist/load-peers.js', import.meta.url));
  await expect(promisify(execFile)(process.execPath, [peers, '--nonsense'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^Unknown option '--nonsense'[^\n]*\n$/) as string,
  });
});

it('a load test of a model that is not there ends with its name', async () => {
  await expect(load('--models', 'nowhere')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('there is no model nowhere') as string,
  });
});
