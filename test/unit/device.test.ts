import { describe, expect, it } from 'vitest';
import { deviceNames } from '../../src/device.js';
import { parseDevices } from '../../src/runtime/parse-devices.js';

describe('the names of devices', () => {
  it.each([
    ['cpu', 'cpu'],
    ['webgpu', 'webgpu'],
    ['cuda:0', 'cuda'],
    ['cuda:0,cuda:1', 'cuda, cuda:1'],
    ['tensorrt:3', 'tensorrt:3'],
  ])('%s is %s', (text, names) => {
    const devices = parseDevices(text.split(','));
    expect(devices).not.toBe('auto');
    expect(deviceNames(devices as Exclude<typeof devices, 'auto'>)).toBe(names);
  });

  it('auto stands alone', () => {
    expect(parseDevices(['auto'])).toBe('auto');
    expect(() => parseDevices(['cpu', 'auto'])).toThrow('"auto" is not one of');
  });

  it.each([
    ['abacus', /"abacus" is not one of: auto \(alone\), cpu, cuda/],
    ['cuda:one', /"cuda:one" is not one of/],
    ['webgpu:1', /webgpu takes no number, only cuda, tensorrt, dml do/],
    ['cuda,cpu', /of one kind/],
    ['cuda,cuda:0', /twice.*FULLCONV_WORKERS/],
  ])('refuses %s', (text, message) => {
    expect(() => parseDevices(text.split(','))).toThrow(message);
  });

  it('refuses no name at all', () => {
    expect(() => parseDevices([])).toThrow('names no device');
  });
});
