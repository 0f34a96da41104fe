import { expect, it } from 'vitest';
import type { Batcher } from '../../../src/batching/batcher.js';
import type { PassPlan } from '../../../src/inference/plan.js';
import { runPass } from '../../../src/inference/run-pass.js';
import type { Work, WorkOutput } from '../../../src/inference/work.js';
import type { Tensor } from '../../../src/tensor.js';

/** Run a pass whose session gives this. */
function ran(best: Tensor) {
  const submit = () =>
    Promise.resolve({ output: { outputs: { best }, decodeMs: 1 }, queueMs: 2, inferMs: 3, batchSize: 1 });
  const pass = { input: { crop: { width: 64, height: 64 } }, mirrored: false } as unknown as PassPlan;
  const run = {
    pass,
    session: 's',
    interpolation: 'bilinear',
    background: { r: 0, g: 0, b: 0 },
    classes: [0],
  } as const;
  const photo = {} as Parameters<typeof runPass>[1]['photo'];
  const context = {
    flow: { client: 'a', connection: 0 },
    priority: 0,
    deadline: Infinity,
    signal: new AbortController().signal,
  };
  return runPass({ submit } as unknown as Batcher<Work, WorkOutput>, { ...run, photo }, context);
}

it('gives what leaves the session, and how long it took', async () => {
  const best: Tensor = { type: 'int32', dims: [2, 3], data: new Int32Array(6) };
  expect(await ran(best)).toMatchObject({ outputs: { best }, decodeMs: 1, queueMs: 2, inferMs: 3 });
});

it.each([[[2, 4]], [[1e6, 1e6]], [[NaN, 6]], [[]]])(
  'refuses values that do not fill their dimensions: %j',
  async (dims) => {
    const best: Tensor = { type: 'int32', dims, data: new Int32Array(6) };
    await expect(ran(best)).rejects.toThrow(`the output best [${dims.join(',')}] has 6 values`);
  },
);
