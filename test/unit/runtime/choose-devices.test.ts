import { describe, expect, it } from 'vitest';
import { deviceName, deviceNames, type Device } from '../../../src/device.js';
import { OperatorError } from '../../../src/errors.js';
import { chooseDevices, thisMachine, type Machine } from '../../../src/runtime/choose-devices.js';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import type { Probed } from '../../../src/runtime/probe-device.js';
import { tensorflow } from '../../../src/runtime/tensorflow/description.js';
import { abacus } from '../../fixtures/abacus-engine.js';

const CPU_ONLY = ['cpu'];
const LINUX = ['cpu', 'webgpu', 'cuda', 'tensorrt'];

interface FakeMachine extends Machine {
  readonly tried: string[];
}

/** A machine of four cores, each of which takes 40 ms for the probe net: together 10 ms. */
function machine(
  files: readonly string[] | undefined,
  providers: readonly string[],
  results: Record<string, Probed> = {},
): FakeMachine {
  const tried: string[] = [];
  return {
    tried,
    cores: 4,
    listGpuFiles: () => Promise.resolve(files),
    listProviders: () => Promise.resolve(providers),
    probe(device) {
      tried.push(deviceName(device));
      return Promise.resolve(results[deviceName(device)] ?? { failure: 'libx.so is missing' });
    },
  };
}

const takes = (runMs: number): Probed => ({ runMs, coreMs: 40 });
const cuda = (index: number): Device => ({ kind: 'cuda', index });

describe('auto', () => {
  it('is the CPU without a try where the machine shows no GPU', async () => {
    const bare = machine([], LINUX);
    bare.listProviders = () => Promise.reject(new Error('the engine was loaded'));
    const { devices, why } = await chooseDevices('auto', onnxruntime, bare);
    expect({ devices: deviceNames(devices), why, tried: bare.tried }).toEqual({
      devices: 'cpu',
      why: 'auto: the machine shows no GPU',
      tried: [],
    });
  });

  it('is the first that works and is faster than the CPU’s cores together', async () => {
    const both = machine(['nvidia0', 'renderD128'], LINUX, { cuda: takes(2), webgpu: takes(1) });
    const { devices, why } = await chooseDevices('auto', onnxruntime, both);
    expect(deviceNames(devices)).toBe('cuda');
    expect(why).toBe("auto: cuda runs the probe net in 2.0 ms, the CPU's cores together in 10");
    expect(both.tried).toEqual(['cuda']);
  });

  it('goes on to the next when one does not work, and says why', async () => {
    const broken = machine(['nvidia0'], LINUX, { webgpu: takes(3) });
    const { devices, why } = await chooseDevices('auto', onnxruntime, broken);
    expect(deviceNames(devices)).toBe('webgpu');
    expect(why).toContain('cuda does not work: libx.so is missing; webgpu runs the probe net in 3.0 ms');
  });

  it('leaves a device that is slower than the CPU, as software adapters are', async () => {
    const software = machine(['renderD128'], LINUX, { webgpu: takes(800) });
    const { devices, why } = await chooseDevices('auto', onnxruntime, software);
    expect(deviceNames(devices)).toBe('cpu');
    expect(why).toBe("auto: webgpu runs the probe net in 800 ms, the CPU's cores together in 10");
    // Without NVIDIA's device files CUDA is not tried.
    expect(software.tried).toEqual(['webgpu']);
  });

  it('never tries TensorRT, which is to be asked for, nor what the library does not have', async () => {
    const nothing = machine(['nvidia0'], ['cpu', 'tensorrt']);
    expect(deviceNames((await chooseDevices('auto', onnxruntime, nothing)).devices)).toBe('cpu');
    expect(nothing.tried).toEqual([]);
  });

  it('tries what there is where GPUs have no device files', async () => {
    const mac = machine(undefined, ['cpu', 'webgpu', 'coreml'], { coreml: takes(4) });
    expect(deviceNames((await chooseDevices('auto', onnxruntime, mac)).devices)).toBe('coreml');
  });
});

describe('a device that is asked for', () => {
  it('is not tried when it is the CPU', async () => {
    const any = machine([], CPU_ONLY);
    const choice = await chooseDevices([{ kind: 'cpu', index: 0 }], onnxruntime, any);
    expect(choice).toEqual({ devices: [{ kind: 'cpu', index: 0 }], why: 'asked for' });
    expect(any.tried).toEqual([]);
  });

  it('is taken when it works, however slow', async () => {
    const software = machine([], LINUX, { webgpu: takes(800) });
    const { devices, why } = await chooseDevices([{ kind: 'webgpu', index: 0 }], onnxruntime, software);
    expect(deviceNames(devices)).toBe('webgpu');
    expect(why).toContain('asked for; webgpu runs the probe net in 800 ms');
  });

  it('is an error with the reason when it does not work, each of several', async () => {
    const one = machine(['nvidia0'], LINUX, { cuda: takes(1) });
    const choosing = chooseDevices([cuda(0), cuda(1)], onnxruntime, one);
    await expect(choosing).rejects.toThrow(new OperatorError('FULLCONV_DEVICE=cuda:1: libx.so is missing'));
    const two = machine(['nvidia0'], LINUX, { cuda: takes(1), 'cuda:1': takes(2) });
    expect(deviceNames((await chooseDevices([cuda(0), cuda(1)], onnxruntime, two)).devices)).toBe('cuda, cuda:1');
  });
});

it('this machine lists its GPUs and its engine’s providers', async () => {
  const real = thisMachine(2, onnxruntime);
  expect(await real.listProviders()).toContain('cpu');
  const files = await real.listGpuFiles();
  if (process.platform === 'linux') expect(files).toBeInstanceOf(Array);
  else expect(files).toBeUndefined();
});

describe('the TensorFlow engine', () => {
  it('takes the GPU where its binding for GPUs is installed and works, the CPU elsewhere', async () => {
    const nvidia = ['nvidia0'];
    const works = machine(nvidia, ['cuda', 'cpu'], { cuda: takes(2) });
    expect(deviceNames((await chooseDevices('auto', tensorflow, works)).devices)).toBe('cuda');
    const cpuBinding = machine(nvidia, ['cpu'], { cuda: takes(2) });
    expect(deviceNames((await chooseDevices('auto', tensorflow, cpuBinding)).devices)).toBe('cpu');
    const broken = machine(nvidia, ['cuda', 'cpu']);
    expect(deviceNames((await chooseDevices('auto', tensorflow, broken)).devices)).toBe('cpu');
  });

  it('is not tried for what was asked for by name: it says by itself what it lacks', async () => {
    const there = machine(['nvidia0'], ['cuda', 'cpu']);
    expect(await chooseDevices([cuda(0)], tensorflow, there)).toEqual({ devices: [cuda(0)], why: 'asked for' });
    expect(there.tried).toEqual([]);
    await expect(chooseDevices([cuda(1)], tensorflow, there)).rejects.toThrow('CUDA_VISIBLE_DEVICES');
    await expect(chooseDevices([{ kind: 'dml', index: 0 }], tensorflow, there)).rejects.toThrow(
      'FULLCONV_DEVICE=dml: tensorflow runs on cpu, cuda, wasm only',
    );
  });
});

describe('an engine that nobody has', () => {
  it('is tried in its own order, on kinds of its own', async () => {
    const brass = machine(['renderD128'], ['wood', 'brass'], { brass: takes(2) });
    expect(deviceNames((await chooseDevices('auto', abacus, brass)).devices)).toBe('brass');
    const stuck = machine(['renderD128'], ['wood', 'brass']);
    expect(await chooseDevices('auto', abacus, stuck)).toMatchObject({
      devices: [{ kind: 'wood', index: 0 }],
      why: expect.stringContaining('brass does not work') as string,
    });
  });

  it('is asked whether it tries what was asked for', async () => {
    const any = machine([], ['wood', 'brass'], { 'brass:1': takes(2) });
    const asked = (kind: string, index: number) => chooseDevices([{ kind, index }], abacus, any);
    expect((await asked('wood', 0)).why).toBe('asked for');
    expect((await asked('brass', 1)).why).toContain('asked for; brass:1 runs');
    expect(any.tried).toEqual(['brass:1']);
    await expect(asked('brass', 8)).rejects.toThrow('FULLCONV_DEVICE=brass:8: abacus has eight hands');
    await expect(asked('cpu', 0)).rejects.toThrow('FULLCONV_DEVICE=cpu: abacus runs on wood, brass only');
  });
});
