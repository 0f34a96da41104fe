/** `fullconv pull` as a process, against a server that behaves as the hub does; the weights are generated. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../src/architectures/index.js';
import { writeGeneratedWeights } from '../../src/models/networks/generated-weights.js';
import { ENTRY } from '../support/command-line.js';
import { startHub, type Hub } from '../support/hub.js';

/** Of the smallest net whose digest the catalog leaves to the hub. */
const NAME = 'resnetv2_18.ra4_e3600_r224_in1k';

let root: string;
let weights: Buffer;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-e2e-pull-'));
  const file = join(root, 'weights.safetensors');
  await writeGeneratedWeights(file, buildArchitecture('preresnet18'));
  weights = await readFile(file);
});
afterAll(() => rm(root, { recursive: true }));

let hub: Hub;
let models: string;
beforeEach(async () => {
  hub = await startHub({ [`/timm/${NAME}/resolve/main/model.safetensors`]: weights });
  models = await mkdtemp(join(root, 'models-'));
});
afterEach(() => hub.close());

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command; `meanwhile` is called once it runs. */
async function pull(args: string[], meanwhile?: (child: ChildProcess) => Promise<void>): Promise<Ended> {
  const env = {
    ...process.env,
    FULLCONV_MODELS: models,
    FULLCONV_CACHE: root,
    HF_ENDPOINT: hub.url,
    HF_TOKEN: 'secret',
  };
  const child = spawn(process.execPath, [ENTRY, 'pull', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
    meanwhile?.(child),
  ]);
  return { code, stdout, stderr };
}

describe('fullconv pull', () => {
  it('lists the catalog, as a table or JSON', async () => {
    const { stdout, code } = await pull([]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^name +architecture +parameters \(M\) +input size +top-1 % +license\n/);
    expect(stdout).toMatch(/\nresnet50\.a1_in1k +resnet50 +25\.56 +224 +80\.4 +Apache-2\.0\n/);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
    const list = JSON.parse((await pull(['--list', '--json'])).stdout) as unknown[];
    expect(list).toContainEqual(expect.objectContaining({ name: NAME, repository: `timm/${NAME}` }));
  });

  it('fetches a model that can be served, shows how far it is, and says what comes next', async () => {
    const { code, stdout, stderr } = await pull([NAME, '--as', 'mine']);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`  fullconv serve --models ${models}\n`);
    expect(stdout).toContain('/v1/classify?model=mine');
    expect(stderr).toMatch(/^(resnetv2_18\.\S+: \d+\.\d MB of 46\.8 MB\n){11}$/);
    expect((await readdir(models)).sort()).toEqual(['.pulling', 'mine']);
    expect(hub.requests.map(({ server, headers }) => [server, headers.authorization])).toEqual([
      ['hub', 'Bearer secret'],
      ['content', undefined],
    ]);
    const again = await pull([NAME, '--as', 'mine']);
    expect(again).toEqual({
      code: 1,
      stdout: '',
      stderr: `fullconv: ${join(models, 'mine')} already exists; --force replaces it\n`,
    });
    const forced = await pull([NAME, '--as', 'mine', '--force', '--json', '--from', join(root, 'weights.safetensors')]);
    expect(JSON.parse(forced.stdout)).toMatchObject({ name: 'mine', verified: false, size: weights.length });
  });

  it('keeps what it has when it is interrupted, and goes on with it the next time', async () => {
    hub.faults.slowMs = 2;
    const interrupted = await pull([NAME], async (child) => {
      while (hub.sent < 4_000_000) await new Promise((done) => setTimeout(done, 10));
      child.kill('SIGINT');
    });
    expect(interrupted.code).toBe(130);
    expect(interrupted.stderr).toMatch(
      /fullconv: interrupted; \d+\.\d MB are kept, and the same command resumes there\n$/,
    );
    expect(await readdir(models)).toEqual(['.pulling']);
    expect(await readdir(join(models, '.pulling'))).toEqual([NAME]);
    delete hub.faults.slowMs;
    expect(await pull([NAME])).toMatchObject({ code: 0 });
    expect(Number(/^bytes=(\d+)-$/.exec(hub.ranges().at(-1) ?? '')?.[1])).toBeGreaterThan(1_000_000);
    expect((await readFile(join(models, NAME, 'model.safetensors'))).equals(weights)).toBe(true);
  });

  it('goes on after a process that was killed, whose lock is still there', async () => {
    hub.faults.slowMs = 2;
    const killed = await pull([NAME], async (child) => {
      while (hub.sent < 4_000_000) await new Promise((done) => setTimeout(done, 10));
      child.kill('SIGKILL');
    });
    expect(killed.code).toBe(null);
    expect((await readdir(join(models, '.pulling'))).sort()).toEqual([NAME, `${NAME}.lock`]);
    delete hub.faults.slowMs;
    expect(await pull([NAME])).toMatchObject({ code: 0 });
    expect(hub.ranges().at(-1)).toMatch(/^bytes=\d+-$/);
    expect(await readdir(join(models, '.pulling'))).toEqual([]);
  });

  it.each([
    [
      'weights that the catalog does not have',
      ['resnet51'],
      /^fullconv: The catalog has no weights called "resnet51".*\n$/,
    ],
    ['a name that is none', [NAME, '--as', '../x'], /^fullconv: "\.\.\/x" is not a valid model name: .*\n$/],
    [
      'what the hub does not have',
      ['resnet18'],
      /^fullconv: http:\S+resnet18\.tv_in1k\S+ answers 404: the file does not exist\n$/,
    ],
  ])('says in one line what is wrong: %s', async (_, args, message) => {
    const { code, stdout, stderr } = await pull(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
  });
});
