import { describe, expect, it } from 'vitest';
import { howToCompute, ownNumbers } from '../../../../load/gpu/numbers.js';
import {
  ALL_DEVICES,
  FIRST,
  inOrderOfWorth,
  limitOf,
  nameOf,
  partsOf,
  planSteps,
  REFERENCE,
} from '../../../../load/gpu/plan.js';
import { ENGINES } from '../../../../src/runtime/engines.js';

describe('the devices', () => {
  it('are those of all engines, the reference first', () => {
    expect(ALL_DEVICES).toHaveLength(ENGINES.reduce((sum, { kinds }) => sum + kinds.length, 0));
    expect(ALL_DEVICES[0]).toBe(REFERENCE);
    for (const device of ALL_DEVICES) {
      const { engine, kind } = partsOf(device);
      expect(engine.kinds).toContain(kind);
    }
  });

  it('come in the order in which their engine would choose them, CPUs last', () => {
    const devices = ['tensorflow/cpu', 'onnxruntime/tensorrt', 'onnxruntime/webgpu', 'onnxruntime/cuda'];
    expect(inOrderOfWorth(devices)).toEqual([
      'onnxruntime/cuda',
      'onnxruntime/webgpu',
      'onnxruntime/tensorrt',
      'tensorflow/cpu',
    ]);
  });
});

describe('the steps', () => {
  it('measure the best device in every kind of numbers, then the others', () => {
    const names = planSteps(['onnxruntime/webgpu', 'onnxruntime/cuda']).map(nameOf);
    expect(names).toEqual([
      'answers on onnxruntime/cuda in tf32',
      'engine on onnxruntime/cuda in tf32',
      'torch',
      'decoding',
      'fronts',
      'server on onnxruntime/cuda in tf32',
      'answers on onnxruntime/cuda in fp16',
      'engine on onnxruntime/cuda in fp16',
      'server on onnxruntime/cuda in fp16',
      'heatmaps on onnxruntime/cuda in tf32',
      'answers on onnxruntime/cuda in fp32',
      'answers on onnxruntime/cuda in bf16',
      'answers on onnxruntime/webgpu in fp32',
      'engine on onnxruntime/webgpu in fp32',
      'server on onnxruntime/webgpu in fp32',
      'answers on onnxruntime/webgpu in fp16',
      'engine on onnxruntime/webgpu in fp16',
    ]);
  });

  it('measure the reference where nothing else works', () => {
    const devices = new Set(planSteps([]).flatMap(({ device = [] }) => device));
    expect([...devices]).toEqual([REFERENCE]);
  });

  it.each([1, 10, 60, 480])('never take longer together than %d s', (seconds) => {
    let left = seconds;
    let steps = [FIRST, ...planSteps(['onnxruntime/cuda', 'onnxruntime/tensorrt'])];
    while (steps.length > 0) {
      const { limit, seconds: soft } = limitOf(steps, left);
      expect(limit).toBeGreaterThan(0);
      expect(soft).toBeLessThan(limit);
      left -= limit;
      steps = steps.slice(1);
    }
    expect(left).toBeCloseTo(0);
  });

  it('get what those before them have left', () => {
    const steps = planSteps(['onnxruntime/cuda']);
    expect(limitOf(steps.slice(5), 400).limit).toBeGreaterThan(limitOf(steps.slice(5), 100).limit * 2);
    expect(limitOf(steps, -3).limit).toBe(0);
  });
});

describe('numbers', () => {
  const { engine } = partsOf('onnxruntime/cuda');

  it("are TF32 on NVIDIA's libraries, unless they are told otherwise", () => {
    expect(ownNumbers('cuda')).toBe('tf32');
    expect(howToCompute(engine, 'cuda', 'tf32')).toEqual({ environment: {}, precision: 'fp32' });
    expect(howToCompute(engine, 'cuda', 'fp32')).toEqual({
      environment: { NVIDIA_TF32_OVERRIDE: '0' },
      precision: 'fp32',
    });
  });

  it('are those that an engine computes in, and otherwise there is a reason', () => {
    expect(howToCompute(engine, 'cuda', 'fp16')).toEqual({ environment: {}, precision: 'fp16' });
    expect(howToCompute(engine, 'cpu', 'fp16')).toEqual({
      cannot: 'onnxruntime does not compute in half precision on cpu',
    });
    expect(howToCompute(engine, 'webgpu', 'tf32')).toHaveProperty('cannot');
  });
});
