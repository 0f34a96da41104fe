/**
 * Reads devices by the names that people give them in settings (FULLCONV_DEVICE). In: names such as `cuda:1`. Out:
 * devices (device.ts), or an Error for the user. Hides which kinds the engines have, and which of them take a number.
 * Pure.
 */
import { deviceName, type Device, type DeviceKind } from '../device.js';
import { ENGINES } from './engines.js';

/** The kinds of all engines. */
export const DEVICE_KINDS = distinct(ENGINES.flatMap(({ kinds }) => kinds));

/** The kinds whose provider takes a number; WebGPU and Core ML choose by themselves. */
const NUMBERED = distinct(ENGINES.flatMap(({ numbered }) => numbered));

/**
 * Devices by their names: `auto`, or one or several of one kind, each once. A server has devices of one kind only,
 * because batches and shapes are chosen for the kind. Throws an Error that says what is wrong.
 */
export function parseDevices(names: readonly string[]): readonly Device[] | 'auto' {
  if (names.length === 1 && names[0] === 'auto') return 'auto';
  if (names.length === 0) throw new Error('names no device');
  const devices = names.map(parseDevice);
  if (new Set(devices.map(({ kind }) => kind)).size > 1) throw new Error('devices must be of one kind');
  if (new Set(devices.map(deviceName)).size < devices.length) {
    throw new Error('names a device twice; FULLCONV_WORKERS sets how many workers share each device');
  }
  return devices;
}

function parseDevice(name: string): Device {
  const [, kind = '', number] = /^([a-z]+)(?::(\d{1,3}))?$/.exec(name) ?? [];
  if (!DEVICE_KINDS.includes(kind)) {
    throw new Error(`"${name}" is not one of: auto (alone), ${DEVICE_KINDS.join(', ')}, cuda:1, …`);
  }
  if (number !== undefined && !NUMBERED.includes(kind)) {
    throw new Error(`"${name}": ${kind} takes no number, only ${NUMBERED.join(', ')} do`);
  }
  return { kind, index: Number(number ?? 0) };
}

function distinct(kinds: readonly DeviceKind[]): readonly DeviceKind[] {
  return [...new Set(kinds)];
}
