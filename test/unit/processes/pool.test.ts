import { execFile } from 'node:child_process';
import { readFileSync, watch } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Device } from '../../../src/device.js';
import { WorkerLostError } from '../../../src/errors.js';
import type { Work, WorkOutput } from '../../../src/inference/work.js';
import { createPool, type PoolOptions, type WorkerLost, type WorkerPool } from '../../../src/processes/pool.js';
import type { FeedShapes } from '../../../src/runtime/session.js';
import { expectTensor, type TensorMap } from '../../../src/tensor.js';
import { tinyModel } from '../../fixtures/tiny-onnx.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const workerFile = join(repository, 'dist/engine-process/main.js');
const CPU: Device = { kind: 'cpu', index: 0 };
const TINY = { id: 'tiny', model: tinyModel() };

type EnginePool = WorkerPool<Work, WorkOutput>;

function works(value: number, side = 8): Work[] {
  const feeds: TensorMap = {
    image: { type: 'uint8', dims: [side, side, 3], data: new Uint8Array(side * side * 3).fill(value) },
    classes: { type: 'int64', dims: [1], data: BigInt64Array.of(5n) },
  };
  return [{ feeds }];
}

/** The mean of the first channel, whose bias is 1. */
async function meanOf(pool: EnginePool, value: number, side?: number): Promise<number | undefined> {
  const { outcomes } = await pool.run('tiny', works(value, side));
  const [outcome] = outcomes;
  if (outcome === undefined || 'error' in outcome) throw outcome?.error ?? new Error('nothing was run');
  return expectTensor(outcome.output.outputs, 'mean', 'float32').data[0];
}

/** Resolves when the condition holds, which is looked at whenever the pool says that it has changed. */
function until(pool: Pick<EnginePool, 'onIdle'>, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (!condition()) return;
      unlisten();
      resolve();
    };
    const unlisten = pool.onIdle(check);
    check();
  });
}

describe('the pool', () => {
  let pool: EnginePool;

  async function start(options: Partial<PoolOptions> = {}): Promise<EnginePool> {
    const engineOptions = { threads: 1 };
    pool = await createPool({
      devices: [CPU],
      workers: 2,
      engine: 'onnxruntime',
      engineOptions,
      decoders: 2,
      workerFile,
      ...options,
    });
    return pool;
  }

  afterEach(() => pool.drain());

  it('runs while its processes give memory back', async () => {
    await start();
    await pool.open(TINY);
    let isOver = false;
    const returning = pool.returnMemory().then(() => (isOver = true));
    expect(pool).toMatchObject({ idle: 2, free: 2 });
    expect(await meanOf(pool, 4)).toBe(5);
    expect(isOver).toBe(false);
    await returning;
    expect(pool).toMatchObject({ idle: 2, free: 2, replacements: 0 });
  });

  it('opens a session on every worker and runs on an idle one', async () => {
    await start();
    const { size, ready, idle, free, provider } = pool;
    expect({ size, ready, idle, free, provider }).toEqual({
      size: 2,
      ready: 2,
      idle: 2,
      free: 2,
      provider: undefined,
    });
    await pool.open(TINY);
    expect(pool.provider).toBe('cpu');
    const runs = [meanOf(pool, 10), meanOf(pool, 20)];
    expect(pool.idle).toBe(0);
    expect(() => pool.run('tiny', works(30))).toThrow('no worker is idle');
    expect(await Promise.all(runs)).toEqual([11, 21]);
    expect(pool.idle).toBe(2);
  });

  it('says what a run has left with the engine, and has it given back', async () => {
    const told: number[] = [];
    await start({ workers: 1, onKept: (bytes) => told.push(bytes) });
    const [pid] = pool.pids;
    const residentMb = (): number =>
      Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
    const side = 3000;
    await pool.open({ ...TINY, largeFeed: 2 * side * side * 3 });
    const run = (length: number, bytes: number) => pool.run('tiny', works(10, length), { bytes });
    await run(8, 5);
    const before = residentMb();
    expect(pool.keptForNext('tiny')).toBe(0);
    await run(side, 150e6);
    expect(pool.keptForNext('tiny')).toBe(150e6);
    // The next run uses it.
    const next = run(8, 5);
    expect(told.at(-1)).toBe(150e6 - 5);
    await next;
    expect(told.at(-1)).toBe(150e6);
    if (process.platform === 'linux') expect(residentMb() - before).toBeGreaterThan(100);
    pool.shrink();
    await expect.poll(() => told.at(-1)).toBe(0);
    if (process.platform === 'linux') expect(residentMb() - before).toBeLessThan(80);
    expect(await meanOf(pool, 10)).toBe(11);
  });

  it('lets one worker make what the engine keeps of a model, and the others find it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-kept-'));
    const made = new Set<string>();
    const watcher = watch(folder, (_, name) => name?.endsWith('.tmp') && made.add(name));
    try {
      const kept = { folder, maxBytes: 2 ** 20 };
      await start({ workers: 4, engineOptions: { threads: 1, kept } });
      await pool.open({ ...TINY, digest: 'of the model' });
      expect(await meanOf(pool, 10)).toBe(11);
      expect(made.size).toBe(1);
    } finally {
      watcher.close();
      await rm(folder, { recursive: true });
    }
  });

  it('runs what a session is warmed up with on each worker, and says how long that took', async () => {
    await start();
    const feeds = (batch: number): FeedShapes => ({
      image: { type: 'uint8', dims: [batch, 8, 8, 3] },
      classes: { type: 'int64', dims: [batch, 1] },
    });
    const times = await pool.open({ ...TINY, warmUp: [feeds(1), feeds(2)] });
    expect(times).toHaveLength(2);
    expect(Math.min(...times)).toBeGreaterThan(0);
    expect(await meanOf(pool, 10)).toBe(11);
  });

  it('rejects an open whose warm-up does not run, with the batch and the setting that would help', async () => {
    await start();
    const warmUp: FeedShapes[] = [{ image: { type: 'uint8', dims: [2, 8, 8, 4] } }];
    await expect(pool.open({ ...TINY, warmUp })).rejects.toThrow(
      /^a batch of 2 does not run; a lower FULLCONV_MAX_BATCH/,
    );
    expect(() => pool.run('tiny', [])).toThrow('the session tiny is not open');
  });

  it('says when a worker becomes idle, and stops saying so', async () => {
    await start({ workers: 1 });
    await pool.open(TINY);
    let calls = 0;
    const unlisten = pool.onIdle(() => (calls += 1));
    await meanOf(pool, 1);
    unlisten();
    await meanOf(pool, 1);
    expect(calls).toBe(1);
  });

  it("rejects a run with the engine's message and lives on", async () => {
    await start({ workers: 1 });
    await pool.open(TINY);
    await expect(pool.run('tiny', [{ feeds: {} }])).rejects.toThrow(/input/i);
    expect(await meanOf(pool, 3)).toBe(4);
    expect(pool.replacements).toBe(0);
  });

  it("rejects an open with the engine's message and has the session nowhere", async () => {
    await start();
    await expect(pool.open({ id: 'tiny', model: Uint8Array.of(1) })).rejects.toThrow('protobuf parsing failed');
    expect(() => pool.run('tiny', [])).toThrow('the session tiny is not open');
    await pool.open(TINY);
    expect(await meanOf(pool, 1)).toBe(2);
  });

  it('closes a session after the run in flight', async () => {
    await start({ workers: 1 });
    await pool.open(TINY);
    const run = meanOf(pool, 1, 1000);
    await pool.close('tiny');
    expect(await run).toBe(2);
    expect(() => pool.run('tiny', [])).toThrow('the session tiny is not open');
  });

  it('drains: waits for the runs in flight, ends the processes, refuses what comes after', async () => {
    await start();
    await pool.open(TINY);
    const runs = Promise.all([meanOf(pool, 1, 1000), meanOf(pool, 2, 1000)]);
    await pool.drain();
    expect(await runs).toEqual([2, 3]);
    expect({ ready: pool.ready, idle: pool.idle }).toEqual({ ready: 0, idle: 0 });
    expect(() => pool.run('tiny', [])).toThrow('draining');
    await expect(pool.open(TINY)).rejects.toThrow('draining');
  });

  it('lets a process exit cleanly after a drain that began during a run', async () => {
    await start({ workers: 1 });
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-exit-'));
    await writeFile(join(folder, 'tiny.onnx'), TINY.model);
    const script = `
      import { readFileSync } from 'node:fs';
      import { createPool } from ${JSON.stringify(join(repository, 'dist/processes/pool.js'))};
      const pool = await createPool({ devices: [{ kind: 'cpu', index: 0 }], workers: 2, engine: 'onnxruntime', engineOptions: { threads: 2 }, decoders: 1, workerFile: ${JSON.stringify(workerFile)} });
      await pool.open({ id: 'tiny', model: readFileSync(${JSON.stringify(join(folder, 'tiny.onnx'))}) });
      const image = { type: 'uint8', dims: [2000, 2000, 3], data: new Uint8Array(12e6) };
      const feeds = { image, classes: { type: 'int64', dims: [1], data: new BigInt64Array(1) } };
      const run = pool.run('tiny', [{ feeds }]);
      await pool.drain();
      await run;
      console.log('drained');
      process.exit();`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('drained\n');
    await rm(folder, { recursive: true });
  });
});

describe('the pool, when workers die', () => {
  let folder: string;
  let pool: WorkerPool<unknown, unknown> | undefined;
  let lost: WorkerLost[];

  async function start(behaviour: string, workers = 2, onLost?: () => void): Promise<WorkerPool<unknown, unknown>> {
    lost = [];
    pool = await createPool<unknown, unknown>({
      devices: [CPU],
      workers,
      engine: 'onnxruntime',
      engineOptions: { threads: 1, kept: { folder: behaviour, maxBytes: 0 } },
      decoders: 1,
      workerFile: join(folder, 'crashing-worker.mjs'),
      onWorkerLost: (info) => {
        lost.push(info);
        onLost?.();
      },
    });
    return pool;
  }

  const spec = (id: string): { id: string; model: Uint8Array } => ({ id, model: new Uint8Array() });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-pool-'));
    await build({
      entryPoints: [join(repository, 'test/fixtures/crashing-worker.ts')],
      outfile: join(folder, 'crashing-worker.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
    });
  });

  afterEach(async () => {
    await pool?.drain();
    pool = undefined;
  });

  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    { session: 'exit-on-run', message: 'it ended with code 3' },
    { session: 'throw-on-run', message: 'died in a run' },
    { session: 'half-an-answer', message: 'it ended with signal SIGKILL' },
    { session: 'babble', message: 'it sent a message with a header of 4294967295 bytes' },
    { session: 'send null', message: 'it sent what is no reply to anything' },
    { session: 'send {"kind":"ready"}', message: 'it sent what is no reply to anything' },
    { session: 'send {"kind":"failure","number":3}', message: 'it sent what is no reply to anything' },
    ...['null', '{"outcomes":[],"runMs":"1"}', '{"outcomes":[null],"runMs":1}', '{"outcomes":[{}],"runMs":1}'].map(
      (value) => ({
        session: `send {"kind":"answer","number":3,"value":${value}}`,
        message: 'it sent what is no reply to anything',
      }),
    ),
    {
      session: 'send {"kind":"answer","number":3,"value":{"outcomes":[{"error":{}}],"runMs":1}}',
      message: 'it sent what is no reply to anything',
    },
    ...[
      'null',
      '{}',
      '{"code":"nope","errors":[]}',
      '{"code":"toString","errors":[]}',
      '{"code":"QUEUE_FULL","errors":[null]}',
      '{"code":"QUEUE_FULL","errors":[],"limit":{"name":"nope","value":1}}',
    ].map((service) => ({
      session: `send {"kind":"failure","number":3,"error":{"message":"x","service":${service}}}`,
      message: 'it sent what is no reply to anything',
    })),
    { session: 'send {"kind":"answer","number":77}', message: 'it sent what is no reply to anything' },
  ])(
    'rejects the run in flight with WorkerLostError and replaces the worker: $session',
    async ({ session, message }) => {
      const pool = await start('normal', 1);
      await pool.open(spec('echo'));
      await pool.open(spec(session));
      const error: unknown = await pool.run(session, []).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(WorkerLostError);
      expect(String(error)).toContain(message);
      await until(pool, () => pool.idle === 1);
      expect({ ready: pool.ready, replacements: pool.replacements, failure: pool.failure }).toEqual({
        ready: 1,
        replacements: 1,
        failure: undefined,
      });
      expect(lost).toMatchObject([{ during: 'run', restartInMs: 0 }]);
      // The replacement has opened the sessions again.
      const { outcomes } = await pool.run('echo', [Int32Array.of(4)]);
      expect(outcomes).toEqual([{ output: Int32Array.of(4) }]);
    },
  );

  it('kills a worker whose answer is longer than it may be, and takes one that is not', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('large'));
    const most = 20_000_000;
    const { outcomes } = await pool.run('large', [], { maxAnswerBytes: most });
    expect(Buffer.from((outcomes[0] as { output: Float32Array }).output.buffer).readFloatLE(most - 4)).toBe(0.5);
    await expect(pool.run('large', [], { maxAnswerBytes: most - 1 })).rejects.toThrow(
      'it sent a message of 20000000 bytes; the limit is 19999999',
    );
    await until(pool, () => pool.idle === 1);
    expect(pool.replacements).toBe(1);
  });

  it('rejects what was on its way to a worker that is killed', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('echo'));
    process.kill(pool.pids[0]!, 'SIGSTOP');
    const run = pool.run('echo', [new Uint8Array(2 ** 26)]).catch((error: unknown) => error);
    process.kill(pool.pids[0]!, 'SIGKILL');
    expect(await run).toBeInstanceOf(WorkerLostError);
    await until(pool, () => pool.idle === 1);
    expect((await pool.run('echo', [5])).outcomes).toEqual([{ output: 5 }]);
  });

  it('has its workers on each of the devices, in turn', async () => {
    pool = await createPool<unknown, unknown>({
      devices: [0, 1, 2].map((index) => ({ kind: 'cuda', index })),
      workers: 2,
      engine: 'onnxruntime',
      engineOptions: { threads: 1 },
      decoders: 1,
      workerFile: join(folder, 'crashing-worker.mjs'),
    });
    await pool.open(spec('device'));
    expect({ size: pool.size, provider: pool.provider }).toEqual({ size: 6, provider: 'cuda' });
    const runs = await Promise.all(Array.from({ length: 6 }, () => pool!.run('device', [])));
    const indices = runs.map(({ outcomes }) => outcomes[0]);
    expect(indices).toEqual([0, 1, 2, 0, 1, 2].map((output) => ({ output })));
  });

  it('has several workers in a process whose engine has lanes, and loses their runs with it, but no others', async () => {
    pool = await createPool<unknown, unknown>({
      devices: [{ kind: 'cpu', index: 0 }],
      workers: 3,
      lanes: 2,
      engine: 'onnxruntime',
      engineOptions: { threads: 1 },
      decoders: 1,
      workerFile: join(folder, 'crashing-worker.mjs'),
    });
    const { size, idle, free, pids } = pool;
    expect({ size, idle, free, processes: pids.length }).toEqual({ size: 3, idle: 3, free: 3, processes: 2 });
    await pool.open(spec('hang-on-run'));
    await pool.open(spec('echo'));
    const [single, double] = pids;
    const ends: string[] = [];
    const hang = (name: string): Promise<unknown> =>
      pool!.run('hang-on-run', []).catch((error: unknown) => ends.push(`${name}: ${(error as Error).message}`));
    // The process with more free workers is first.
    const runs = [hang('first of two'), hang('alone'), hang('second of two')];
    expect({ idle: pool.idle, free: pool.free }).toEqual({ idle: 0, free: 0 });
    expect(() => pool!.run('echo', [])).toThrow('no worker is idle');
    process.kill(double!, 'SIGKILL');
    await Promise.all([runs[0], runs[2]]);
    const lost = 'the worker was lost: it ended with signal SIGKILL';
    expect(ends).toEqual([`first of two: ${lost}`, `second of two: ${lost}`]);
    await until(pool, () => pool!.free === 2);
    expect((await pool.run('echo', [5])).outcomes).toEqual([{ output: 5 }]);
    process.kill(single!, 'SIGKILL');
    await runs[1];
    expect(ends).toHaveLength(3);
  });

  it('goes on replacing a worker that runs kill, however often', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('exit-on-run'));
    for (let death = 1; death <= 7; death += 1) {
      await expect(pool.run('exit-on-run', [])).rejects.toBeInstanceOf(WorkerLostError);
      await until(pool, () => pool.idle === 1);
    }
    expect(pool.replacements).toBe(7);
  });

  it('takes the next run when the one that runs should be over, and no third', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('echo'));
    await pool.open(spec('hang-on-run'));
    const hung = pool.run('hang-on-run', [], { expectedMs: 5 }).catch((error: unknown) => error);
    expect({ idle: pool.idle, free: pool.free }).toEqual({ idle: 0, free: 0 });
    await until(pool, () => pool.idle === 1);
    // It begins behind the run that should be over.
    expect(pool.free).toBe(0);
    const next = pool.run('echo', [7], { expectedMs: 60_000 });
    expect(pool.idle).toBe(0);
    expect(() => pool.run('echo', [])).toThrow('no worker is idle');
    expect((await next).outcomes).toEqual([{ output: 7 }]);
    process.kill(pool.pids[0]!, 'SIGKILL');
    expect(await hung).toBeInstanceOf(WorkerLostError);
  });

  it('takes the next run, too, when the time of the second has passed before the first was over', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('after-next'));
    await pool.open(spec('hang-on-run'));
    const first = pool.run('after-next', [], { expectedMs: 1 });
    await until(pool, () => pool.idle === 1);
    const second = pool.run('hang-on-run', [], { expectedMs: 1 }).catch((error: unknown) => error);
    const saysSo = until(pool, () => pool.idle === 1);
    await first;
    await saysSo;
    process.kill(pool.pids[0]!, 'SIGKILL');
    expect(await second).toBeInstanceOf(WorkerLostError);
  });

  it('kills a worker that takes longer than a run may, and answers with another', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('echo'));
    await pool.open(spec('hang-on-run'));
    await expect(pool.run('hang-on-run', [], { limitMs: 50 })).rejects.toThrow('it gave no answer in 50 ms');
    await until(pool, () => pool.idle === 1);
    expect(pool.replacements).toBe(1);
    await pool.run('echo', []);
  });

  it('replaces a process that was killed from outside, in a run or idle', async () => {
    const pool = await start('normal', 1);
    await pool.open(spec('echo'));
    await pool.open(spec('hang-on-run'));
    const run = pool.run('hang-on-run', []);
    process.kill(pool.pids[0]!, 'SIGKILL');
    await expect(run).rejects.toThrow('it ended with signal SIGKILL');
    await until(pool, () => pool.idle === 1);
    process.kill(pool.pids[0]!, 'SIGSEGV');
    await until(pool, () => pool.replacements === 2 && pool.idle === 1);
    await pool.run('echo', []);
  });

  it('rejects an open that kills its workers, and replaces them without that session', async () => {
    const pool = await start('normal');
    await expect(pool.open(spec('exit-on-open'))).rejects.toBeInstanceOf(WorkerLostError);
    await until(pool, () => pool.ready === 2);
    expect(() => pool.run('exit-on-open', [])).toThrow('not open');
    await pool.open(spec('echo'));
    await pool.run('echo', []);
  });

  it('rejects an open that fails on one worker of two and closes it on the other', async () => {
    const pool = await start('normal');
    const one = { ...spec('one-opens'), weightsFolder: join(folder, 'one-opens') };
    await expect(pool.open(one)).rejects.toThrow('cannot open');
    expect(() => pool.run('one-opens', [])).toThrow('not open');
    expect(pool.idle).toBe(2);
  });

  it.each([
    { behaviour: 'throw-at-start', message: 'cannot start' },
    { behaviour: 'exit-at-start', message: 'it ended with code 3' },
  ])('rejects when no worker can be started: $behaviour', async ({ behaviour, message }) => {
    await expect(start(behaviour, 1)).rejects.toThrow(message);
    expect(lost.map(({ restartInMs }) => restartInMs)).toEqual([100, 200, 400, 800, undefined]);
  });

  it('stops a crash loop of workers that die idle, right after their start, and says why to whoever asks', async () => {
    const pool = await start('exit-when-ready', 1);
    await until(pool, () => pool.failure !== undefined);
    expect(lost).toHaveLength(5);
    expect({ ready: pool.ready, idle: pool.idle }).toEqual({ ready: 0, idle: 0 });
    await expect(pool.open(spec('echo'))).rejects.toThrow('no worker can be started');
    expect(() => pool.run('echo', [])).toThrow('no worker can be started');
  });

  it('drains while a worker waits to be started again', async () => {
    let onLost: () => void = () => undefined;
    const death = new Promise<void>((resolve) => (onLost = resolve));
    const pool = await start('exit-when-ready', 1, onLost);
    await death;
    // On a busy machine it may have been started, and have died, once more by now.
    const deaths = lost.length;
    await pool.drain();
    expect(lost).toHaveLength(deaths);
  });
});
