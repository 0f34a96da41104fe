import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatcher, type DispatchReport } from '../../../src/batching/batcher.js';
import { createPool, type WorkerPool } from '../../../src/runtime/pool.js';
import { expectTensor } from '../../../src/tensor.js';
import { BIAS, tinyModel } from '../../fixtures/tiny-onnx.js';

describe('the batcher on real workers', () => {
  let pool: WorkerPool;

  beforeAll(async () => {
    pool = await createPool({
      devices: [{ kind: 'cpu', index: 0 }],
      workers: 2,
      engine: 'onnxruntime',
      engineOptions: { threads: 1 },
      workerFile: fileURLToPath(new URL('../../../dist/runtime/worker.js', import.meta.url)),
    });
    await pool.open({ id: 'tiny', model: tinyModel() });
  });

  afterAll(() => pool.drain());

  it('gives each item what it gets alone, in any mix of sizes', async () => {
    const reports: DispatchReport[] = [];
    const batcher = createBatcher({
      executor: pool,
      limits: { maxBatchSize: 8, maxBatchCost: Infinity, maxQueue: 1000, lingerMs: 0 },
      onDispatch: (report) => reports.push(report),
    });
    const values = Array.from({ length: 200 }, (_, index) => index);
    const results = values.map(async (value) => {
      const side = 16 + 8 * (value % 3);
      const { outputs } = await batcher.submit({
        session: 'tiny',
        feeds: {
          image: { type: 'uint8', dims: [side, side, 3], data: new Uint8Array(side * side * 3).fill(value) },
          classes: { type: 'int64', dims: [1], data: BigInt64Array.of(BigInt(value)) },
        },
        cost: side * side,
        priority: 0,
        deadline: Infinity,
      });
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
