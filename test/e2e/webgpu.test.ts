/**
 * The whole server on WebGPU, held against the CPU: whatever adapter there is, a GPU or Mesa's software (lavapipe, of a
 * recent version; docs/engines.md, "What has run where"). Skipped with a notice where there is none, as the product finds it.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceName } from '../../src/device.js';
import { chooseDevices, thisMachine } from '../../src/runtime/choose-devices.js';
import { onnxruntime } from '../../src/runtime/onnxruntime/description.js';
import { probeDevice } from '../../src/runtime/probe-device.js';
import { startServer, type ServerProcess } from '../support/server.js';

const PROCESS_FILE = fileURLToPath(new URL('../../dist/runtime/probe-process.js', import.meta.url));
const MODELS = ['imagenet-efficientnet-lite0', 'tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32'];
/** As a part of the largest value. */
const TOLERANCE = 1e-3;

const probed = await probeDevice({ kind: 'webgpu', index: 0 }, onnxruntime, { processFile: PROCESS_FILE });
if ('failure' in probed) console.warn(`WebGPU is not tested: ${probed.failure}`);

describe.skipIf('failure' in probed)('the server on WebGPU', () => {
  let webgpu: ServerProcess;
  let cpu: ServerProcess;
  let photo: Buffer;

  beforeAll(async () => {
    photo = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
    [webgpu, cpu] = await Promise.all([
      startServer({ FULLCONV_DEVICE: 'webgpu', FULLCONV_MAX_BATCH: '2' }),
      startServer({ FULLCONV_DEVICE: 'cpu', FULLCONV_WORKERS: '1' }),
    ]);
  });

  afterAll(async () => {
    expect(await Promise.all([webgpu.stop(), cpu.stop()])).toEqual([0, 0]);
  });

  async function ask<T>(server: ServerProcess, path: string): Promise<T> {
    const headers = { accept: 'application/json' };
    const response = await fetch(server.url + path, { method: 'POST', body: photo, headers });
    expect(response.status).toBe(200);
    return (await response.json()) as T;
  }

  /** Two lists of numbers, none of which differ by more than a part of the largest. */
  function expectAlike(actual: readonly number[], expected: readonly number[]): void {
    expect(actual).toHaveLength(expected.length);
    const largest = Math.max(...expected.map(Math.abs));
    const difference = Math.max(...expected.map((value, index) => Math.abs(value - actual[index]!)));
    expect(difference / largest).toBeLessThan(TOLERANCE);
  }

  it('says that it is, and what a run costs, as its warm-up found', async () => {
    const response = await fetch(`${webgpu.url}/v1/models`);
    const { device, models } = (await response.json()) as {
      device: { names: string[]; why: string };
      models: { devices: string[]; provider: string; runCost?: { msPerGmac: number } }[];
    };
    expect(device.names).toEqual(['webgpu']);
    expect(device.why).toContain('asked for; webgpu runs the probe net in');
    for (const model of models) {
      expect(model).toMatchObject({ devices: ['webgpu'], provider: 'webgpu' });
      expect(model.runCost!.msPerGmac).toBeGreaterThan(0);
    }
  });

  it.each(MODELS)('gives the logits of the CPU: %s', async (model) => {
    interface Answer {
      results: { predictions: { index: number; logit: number }[] }[];
    }
    const path = `/v1/classify?model=${model}&topK=1000&scores=logit`;
    const [there, here] = await Promise.all([ask<Answer>(webgpu, path), ask<Answer>(cpu, path)]);
    const logits = ({ results }: Answer): number[] =>
      results[0]!.predictions.sort((a, b) => a.index - b.index).map(({ logit }) => logit);
    expectAlike(logits(there), logits(here));
  });

  it.each(MODELS)('gives the maps of the CPU: %s', async (model) => {
    interface Answer {
      results: { input: object; classes: { index: number; values: number[][] }[] }[];
    }
    const path = `/v1/heatmap?model=${model}&top=2&scores=logit`;
    const [there, here] = await Promise.all([ask<Answer>(webgpu, path), ask<Answer>(cpu, path)]);
    expect(there.results[0]!.input).toEqual(here.results[0]!.input);
    const [maps, expected] = [there, here].map(({ results }) => results[0]!.classes);
    expect(maps!.map(({ index }) => index)).toEqual(expected!.map(({ index }) => index));
    maps!.forEach(({ values }, index) => expectAlike(values.flat(), expected![index]!.values.flat()));
  });

  it('is what auto chooses if it is faster than the CPU, which software is not', async () => {
    const machine = {
      ...thisMachine(2, onnxruntime),
      listGpuFiles: () => Promise.resolve(['renderD128']),
      listProviders: () => Promise.resolve(['cpu', 'webgpu']),
      probe: () => Promise.resolve(probed),
    };
    const { devices } = await chooseDevices('auto', onnxruntime, machine);
    if ('failure' in probed) throw new Error('skipped otherwise');
    expect(devices.map(deviceName)).toEqual([probed.runMs < probed.coreMs / 2 ? 'webgpu' : 'cpu']);
  });

  it('refuses two workers, whose threads would crash the process', async () => {
    const starting = startServer({ FULLCONV_DEVICE: 'webgpu', FULLCONV_WORKERS: '2' });
    await expect(starting).rejects.toThrow('FULLCONV_WORKERS=2: webgpu works only in one thread of a process');
  });
});
