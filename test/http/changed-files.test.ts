/** Weights that change on disk under a running server, with the real engine in its processes. */
import { readFile, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';

interface Answer {
  readonly code?: string;
  readonly model: { readonly digest: string };
  readonly results: readonly {
    readonly predictions: readonly { readonly index: number; readonly probability: number }[];
  }[];
}

const payload = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
let app: TestApp;
beforeEach(async () => {
  app = await startTestApp();
});
afterEach(() => app.close());

const weights = (model: string): string => join(app.models, model, 'model.safetensors');
async function ask(model: string, query = ''): Promise<{ status: number; body: Answer }> {
  const url = `/v1/classify?model=${model}&topK=1${query}`;
  const { statusCode, body } = await app.http.inject({ method: 'POST', url, payload });
  return { status: statusCode, body: JSON.parse(body) as Answer };
}
const state = async (model: string) =>
  JSON.parse((await app.http.inject(`/v1/models/${model}`)).body) as { state: string; reason?: string };

/** The same net with other weights in its last layer: a valid file of the same size. */
async function otherWeights(model: string): Promise<Buffer> {
  const bytes = await readFile(weights(model));
  const values = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + bytes.length - 2000, bytes.byteOffset + bytes.length),
  );
  return Buffer.concat([bytes.subarray(0, bytes.length - 2000), Buffer.from(values.map((value) => -value).buffer)]);
}

/** The side from which on a run has a session of its own. */
const LARGE = '&size=1300&fit=stretch';

it('a file that is replaced changes no answer, until the model is loaded again', async () => {
  const model = 'tiny-resnet';
  const before = [await ask(model), await ask(model, LARGE)];
  expect(before.map(({ status }) => status)).toEqual([200, 200]);
  await writeFile(`${weights(model)}.new`, await otherWeights(model));
  await rename(`${weights(model)}.new`, weights(model));

  expect((await ask(model)).body.results[0]!.predictions).toEqual(before[0]!.body.results[0]!.predictions);
  // Its session would be opened now, from the new file.
  expect(await ask(model, LARGE)).toMatchObject({ status: 404, body: { code: 'MODEL_NOT_FOUND' } });
  expect(await state(model)).toMatchObject({
    state: 'ready',
    reason: expect.stringMatching(/^model\.safetensors: file: was replaced on disk/) as string,
  });
  expect((await ask(model)).body.model.digest).toBe(before[0]!.body.model.digest);

  expect(await app.service.registry.load(model)).toMatchObject({ state: 'ready' });
  const after = [await ask(model), await ask(model, LARGE)];
  expect(after.map(({ status }) => status)).toEqual([200, 200]);
  expect(after[0]!.body.model.digest).not.toBe(before[0]!.body.model.digest);
  expect(after[1]!.body.model.digest).toBe(after[0]!.body.model.digest);
  expect(after[0]!.body.results[0]!.predictions).not.toEqual(before[0]!.body.results[0]!.predictions);
});

it('a file that is cut off under a model fails this model, and no other', async () => {
  const expected = (await ask('tiny-vgg')).body.results;
  const [cut, others]: [number[], number[]] = [[], []];
  let isOver = false;
  const keepAsking = async (model: string, statuses: number[]): Promise<void> => {
    while (!isOver) {
      const { status, body } = await ask(model);
      statuses.push(status);
      // A refusal takes no input or output: without this, nothing else would have its turn.
      await nextTurn();
      if (model === 'tiny-vgg' && status === 200) expect(body.results).toEqual(expected);
    }
  };
  const asking = [...Array.from({ length: 4 }, () => keepAsking('tiny-resnet', cut)), keepAsking('tiny-vgg', others)];
  await expect.poll(() => cut.length).toBeGreaterThan(10);
  await truncate(weights('tiny-resnet'), 4096);
  await expect.poll(async () => (await state('tiny-resnet')).state).toBe('failed');
  const seen = others.length;
  await expect.poll(() => others.length).toBeGreaterThan(seen + 10);
  isOver = true;
  await Promise.all(asking);

  expect(new Set(others)).toEqual(new Set([200]));
  expect(cut[0]).toBe(200);
  expect([...new Set(cut)].sort()).toEqual([200, 404]);
  expect(cut.at(-1)).toBe(404);
  expect((await state('tiny-resnet')).reason).toMatch(/^model\.safetensors: file: was rewritten on disk/);
  expect((await app.http.inject('/readyz')).statusCode).toBe(200);
});
