/** The whole server with the policy of a GPU that plans for each shape, on the CPU: what it does is the same on any device. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DevicePlan } from '../../src/app.js';
import { batchLimits } from '../../src/batching/device-policy.js';
import { onnxruntime } from '../../src/runtime/onnxruntime/description.js';
import { startTestApp, type TestApp } from '../support/app.js';

const MODELS = fileURLToPath(new URL('../../models', import.meta.url));

const policy = onnxruntime.policy('cuda', 2);
const plan: DevicePlan = {
  engine: 'onnxruntime',
  device: { devices: [{ kind: 'cpu', index: 0 }], why: 'a test' },
  policy,
  workers: 1,
  limits: batchLimits(policy, 4, 64e9),
};

interface Heatmap {
  width: number;
  height: number;
  input: { width: number; height: number };
  map: { outputStride: number; offset: number };
  classes: { index: number; values: number[][] }[];
}

/** The centre of what is above the mean of the first map, in pixels of the photo. */
function centre({ width, height, input, map, classes }: Heatmap): { x: number; y: number } {
  const { values } = classes[0]!;
  const mean = values.flat().reduce((sum, value) => sum + value, 0) / values.flat().length;
  const sums = { x: 0, y: 0, weight: 0 };
  values.forEach((row, j) =>
    row.forEach((value, i) => {
      const weight = Math.max(0, value - mean);
      sums.weight += weight;
      sums.x += (weight * (map.offset + i * map.outputStride) * width) / input.width;
      sums.y += (weight * (map.offset + j * map.outputStride) * height) / input.height;
    }),
  );
  return { x: sums.x / sums.weight, y: sums.y / sums.weight };
}

describe('a server with few shapes', () => {
  let few: TestApp;
  let exact: TestApp;
  let photo: Buffer;

  beforeAll(async () => {
    photo = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
    few = await startTestApp({}, MODELS, { plan });
    exact = await startTestApp({}, MODELS);
  });

  afterAll(() => Promise.all([few.close(), exact.close()]));

  async function ask<T>({ http }: TestApp, path: string): Promise<T> {
    const answer = await http.inject({
      method: 'POST',
      url: path,
      payload: photo,
      headers: { 'content-type': 'image/jpeg', accept: 'application/json' },
    });
    expect(answer.statusCode).toBe(200);
    return answer.json();
  }

  it('has run every batch that can come before it is ready, and knows what they cost', async () => {
    const { models } = (await few.http.inject('/v1/models')).json<{ models: Record<string, unknown>[] }>();
    for (const model of models) {
      expect(model).toMatchObject({ inputStep: 16, runCost: { msPerGmac: expect.any(Number) as number } });
    }
  });

  it('sends batches of allowed counts only', async () => {
    interface Answer {
      timing: { batchSize: number };
    }
    const answers = await Promise.all(Array.from({ length: 13 }, () => ask<Answer>(few, '/v1/classify')));
    for (const { timing } of answers) expect([1, 2, 4]).toContain(timing.batchSize);
    expect(Math.max(...answers.map(({ timing }) => timing.batchSize))).toBeGreaterThan(1);
  });

  it('rounds the side of an input that follows from the photo, says so, and shows the same place of the photo', async () => {
    interface Answer {
      results: Heatmap[];
    }
    const path = '/v1/heatmap?model=tinyimagenet-resnet18-w48&size=120&scores=logit';
    const rounded = (await ask<Answer>(few, path)).results[0]!;
    const exact120 = (await ask<Answer>(exact, path)).results[0]!;
    // The photo has 512×600 pixels.
    expect(exact120.input).toEqual({ width: 120, height: 140, scale: 1 });
    expect(rounded.input).toEqual({ width: 120, height: 144, scale: 1 });
    expect([rounded.width, rounded.height]).toEqual([512, 600]);
    expect(rounded.classes[0]!.index).toBe(exact120.classes[0]!.index);
    const [there, here] = [centre(rounded), centre(exact120)];
    // A cell is 70 pixels of the photo.
    expect(Math.hypot(there.x - here.x, there.y - here.y)).toBeLessThan(15);
  });

  it('rounds nothing that was asked for in pixels', async () => {
    interface Answer {
      results: { input: object }[];
    }
    for (const path of ['/v1/classify', '/v1/heatmap?fit=stretch&size=100', '/v1/heatmap?fit=crop&size=100']) {
      expect((await ask<Answer>(few, path)).results[0]!.input).toEqual(
        (await ask<Answer>(exact, path)).results[0]!.input,
      );
    }
  });
});
