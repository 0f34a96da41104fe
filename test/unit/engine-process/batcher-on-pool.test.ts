import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatcher, type DispatchReport } from '../../../src/batching/batcher.js';
import { shapeKey } from '../../../src/batching/batch-tensors.js';
import type { Work, WorkOutput } from '../../../src/inference/work.js';
import { createPool, type WorkerPool } from '../../../src/processes/pool.js';
import { createMemory } from '../../../src/memory.js';
import { expectTensor, type TensorMap } from '../../../src/tensor.js';
import { BIAS, tinyModel } from '../../fixtures/tiny-onnx.js';

describe('the batcher on real workers', () => {
  let pool: WorkerPool<Work, WorkOutput>;

  beforeAll(async () => {
    pool = await createPool<Work, WorkOutput>({
      devices: [{ kind: 'cpu', index: 0 }],
      workers: 2,
      engine: 'onnxruntime',
      engineOptions: { threads: 1 },
      decoders: 2,
      workerFile: fileURLToPath(new URL('../../../dist/engine-process/main.js', import.meta.url)),
    });
    await pool.open({ id: 'tiny', model: tinyModel() });
  });

  afterAll(() => pool.drain());

  it('gives each item what it gets alone, in any mix of sizes', async () => {
    const reports: DispatchReport[] = [];
    const batcher = createBatcher({
      executor: pool,
      limits: {
        maxBatchSize: 8,
        maxBatchCost: Infinity,
        maxQueue: 1000,
        lingerMs: 0,
        maxRunMs: 60_000,
      },
      memory: createMemory(Infinity),
      onDispatch: (report) => reports.push(report),
    });
    const values = Array.from({ length: 200 }, (_, index) => index);
    const results = values.map(async (value) => {
      const side = 16 + 8 * (value % 3);
      const feeds: TensorMap = {
        image: { type: 'uint8', dims: [side, side, 3], data: new Uint8Array(side * side * 3).fill(value) },
        classes: { type: 'int64', dims: [1], data: BigInt64Array.of(BigInt(value)) },
      };
      const { output } = await batcher.submit({
        session: 'tiny',
        shape: shapeKey(feeds),
        work: { feeds },
        cost: side * side,
        bytes: 0,
        priority: 0,
        flow: { client: 'test', connection: 0 },
        deadline: Infinity,
      });
      const { outputs } = output;
      const mean = expectTensor(outputs, 'mean', 'float32');
      const echo = expectTensor(outputs, 'echo', 'int64');
      expect({ mean: mean.dims, echo: echo.dims }).toEqual({ mean: [3], echo: [1] });
      return [...mean.data, Number(echo.data[0])];
    });
    expect(await Promise.all(results)).toEqual(values.map((value) => [...BIAS.map((bias) => value + bias), value]));
    expect(reports.reduce((sum, { batchSize }) => sum + batchSize, 0)).toBe(200);
    expect(Math.max(...reports.map(({ batchSize }) => batchSize))).toBe(8);
    await batcher.drain();
  });
});
