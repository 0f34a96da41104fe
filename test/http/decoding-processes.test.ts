/** The whole server with the policy of a GPU on the CPU, and so many decoders that images are decoded in processes of their own. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { DevicePlan } from '../../src/app.js';
import { batchLimits } from '../../src/batching/device-policy.js';
import { onnxruntime } from '../../src/runtime/onnxruntime/description.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { createMarker, MORTAL_DECODER_FILE, type Marker } from '../support/mortal-decoders.js';

const policy = onnxruntime.policy('cuda', 2);
const plan: DevicePlan = {
  engine: 'onnxruntime',
  device: { devices: [{ kind: 'cpu', index: 0 }], why: 'a test' },
  policy,
  workers: 1,
  limits: batchLimits(policy, 4, 64e9),
};
/** Of the photograph that kills whoever is to decode it. */
const FATAL_WIDTH = 333;

let marker: Marker;
let apart: TestApp;
let together: TestApp;
let photos: Buffer[];

beforeAll(async () => {
  const photo = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
  const narrower = (width: number): Promise<Buffer> => sharp(photo).resize(width).jpeg().toBuffer();
  photos = await Promise.all([300, FATAL_WIDTH, 400, 450, 500, 310, 320, 340].map(narrower));
  // Its processes are started without the marker, and not counted.
  together = await startTestApp({ FULLCONV_DECODERS: '4' }, undefined, { plan });
  marker = createMarker('decoding-processes');
  apart = await startTestApp({ FULLCONV_DECODERS: '8' }, undefined, { plan, workerFile: MORTAL_DECODER_FILE });
});
afterEach(() => marker.clear());
afterAll(async () => {
  delete process.env['MORTAL_DECODER_MARKER'];
  await Promise.all([apart.close(), together.close()]);
  expect((await marker.processes()) ?? 0).toBe(0);
});

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly results: unknown;
}

async function ask({ http }: TestApp, path: string, payload: Buffer): Promise<Answer> {
  const headers = { accept: 'application/json' };
  const { statusCode: status, body } = await http.inject({ method: 'POST', url: path, payload, headers });
  const { code, results } = JSON.parse(body) as { code?: string; results?: unknown };
  return { status, code, results };
}
const classify = (app: TestApp): Promise<Answer[]> =>
  Promise.all(photos.map((photo) => ask(app, '/v1/classify?scores=logit', photo)));

async function lostOf({ http }: TestApp): Promise<number> {
  return Number(/^fullconv_workers_lost_total (\d+)$/m.exec((await http.inject('/metrics')).body)![1]);
}

/** The process of the engine, and four images for each that decodes. */
const PROCESSES = 1 + 2;

it('answers as a server does that decodes in the process of its engine', async () => {
  expect((await marker.processes()) ?? PROCESSES).toBe(PROCESSES);
  const answers = await classify(apart);
  expect(answers.map(({ status }) => status)).toEqual(photos.map(() => 200));
  const best = (all: Answer[]): unknown[] =>
    all.map(({ results }) => (results as { predictions: { index: number }[] }[])[0]!.predictions.map((p) => p.index));
  expect(best(answers)).toEqual(best(await classify(together)));
  const path = '/v1/heatmap?flip=true&scale=1,1.3&scores=logit';
  const [maps, expected] = await Promise.all([apart, together].map((app) => ask(app, path, photos[0]!)));
  expect(maps!.status).toBe(200);
  expect(maps).toEqual(expected);
});

it('refuses a damaged photograph alone', async () => {
  const damaged = photos[0]!.subarray(0, photos[0]!.length / 2);
  const [failed, ...others] = await Promise.all([
    ask(apart, '/v1/classify', damaged),
    ...photos.map((photo) => ask(apart, '/v1/classify', photo)),
  ]);
  expect(failed).toMatchObject({ status: 422, code: 'IMAGE_UNDECODABLE' });
  expect(failed).toEqual(await ask(together, '/v1/classify', damaged));
  expect(others.map(({ status }) => status)).toEqual(photos.map(() => 200));
});

it('answers all the same when a process that decodes dies, and counts it', async () => {
  const before = await lostOf(apart);
  await marker.set({ width: FATAL_WIDTH, how: 'once' });
  expect((await classify(apart)).map(({ status }) => status)).toEqual(photos.map(() => 200));
  expect(await lostOf(apart)).toBe(before + 1);
});

it('refuses a photograph alone that kills two of them, and keeps its engine', async () => {
  const before = await lostOf(apart);
  await marker.set({ width: FATAL_WIDTH, how: 'always' });
  const answers = await classify(apart);
  expect(answers.map(({ status }) => status)).toEqual(photos.map((_, index) => (index === 1 ? 503 : 200)));
  expect(answers[1]!.code).toBe('WORKER_LOST');
  expect(await lostOf(apart)).toBe(before + 2);
  expect(apart.service.pool.replacements).toBe(0);
  expect((await apart.http.inject('/readyz')).statusCode).toBe(200);
});

it.runIf(process.platform === 'linux')('has its decoders ended before its engine where memory is short', async () => {
  const scoreOf = async (pid: number): Promise<number> =>
    Number(await readFile(`/proc/${pid}/oom_score_adj`, 'latin1').catch(() => NaN));
  /** A process that has just been started in the place of another says so a moment later. */
  const order = async () => {
    const [engine] = apart.service.pool.pids;
    const decoders = (await marker.pids()).filter((pid) => pid !== engine);
    const [server, ofEngine, ...ofDecoders] = await Promise.all([process.pid, engine!, ...decoders].map(scoreOf));
    return { isAfterServer: ofEngine! > server!, areBefore: ofDecoders.map((score) => score > ofEngine!) };
  };
  await expect.poll(order).toEqual({ isAfterServer: true, areBefore: Array(PROCESSES - 1).fill(true) });
});

it.runIf(process.platform === 'linux')(
  'starts its engine anew where no process that decodes can be started',
  async () => {
    const [engine] = apart.service.pool.pids;
    const before = apart.service.pool.replacements;
    await marker.set({ width: 0, how: 'no start' });
    for (const pid of await marker.pids()) if (pid !== engine) process.kill(pid, 'SIGKILL');
    await expect.poll(() => apart.service.pool.replacements).toBeGreaterThan(before);
    await marker.clear();
    await expect.poll(async () => (await apart.http.inject('/readyz')).statusCode).toBe(200);
    expect((await classify(apart)).map(({ status }) => status)).toEqual(photos.map(() => 200));
  },
);

it('has as many processes as before when that of the engine has died', async () => {
  const before = apart.service.pool.replacements;
  process.kill(apart.service.pool.pids[0]!, 'SIGKILL');
  await expect.poll(() => apart.service.pool.replacements).toBe(before + 1);
  expect((await classify(apart)).map(({ status }) => status)).toEqual(photos.map(() => 200));
  await expect.poll(async () => (await marker.processes()) ?? PROCESSES).toBe(PROCESSES);
});
