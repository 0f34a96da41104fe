/**
 * What a net runs on, as people name it: `cpu`, `webgpu`, `cuda:1`. A kind is an execution provider of ONNX Runtime, or a
 * backend of TensorFlow.js; a number after it tells several devices of one kind apart, where the provider lets them be
 * chosen.
 */

export const DEVICE_KINDS = ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml', 'wasm'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

export interface Device {
  readonly kind: DeviceKind;
  /** Which one of that kind, counted from 0. */
  readonly index: number;
}

/** What a server runs on. */
export interface DeviceChoice {
  /** One or more, of one kind. */
  readonly devices: readonly Device[];
  /** Why these, for the log and for whoever asks the server. */
  readonly why: string;
}

/** The kinds whose provider takes a number; WebGPU and Core ML choose by themselves. */
const NUMBERED: ReadonlySet<DeviceKind> = new Set<DeviceKind>(['cuda', 'tensorrt', 'dml']);

/** The name that `parseDevice` reads, the number left out where it says nothing. */
export function deviceName({ kind, index }: Device): string {
  return index === 0 ? kind : `${kind}:${index}`;
}

export const deviceNames = (devices: readonly Device[]): string => devices.map(deviceName).join(', ');

/**
 * Devices by their names: `auto`, or one or several of one kind, each once. A server has devices of one kind because its
 * batches and its shapes are those that suit the kind. Throws an Error that says what is wrong.
 */
export function parseDevices(names: readonly string[]): readonly Device[] | 'auto' {
  if (names.length === 1 && names[0] === 'auto') return 'auto';
  if (names.length === 0) throw new Error('names no device');
  const devices = names.map(parseDevice);
  if (new Set(devices.map(({ kind }) => kind)).size > 1) throw new Error('devices must be of one kind');
  if (new Set(devices.map(deviceName)).size < devices.length) {
    throw new Error('names a device twice; FULLCONV_WORKERS makes several workers share each');
  }
  return devices;
}

function parseDevice(name: string): Device {
  const [, word = '', number] = /^([a-z]+)(?::(\d{1,3}))?$/.exec(name) ?? [];
  const kind = DEVICE_KINDS.find((known) => known === word);
  if (kind === undefined)
    throw new Error(`"${name}" is not one of: auto (alone), ${DEVICE_KINDS.join(', ')}, cuda:1, …`);
  if (number !== undefined && !NUMBERED.has(kind)) {
    throw new Error(`"${name}": ${kind} takes no number, only ${[...NUMBERED].join(', ')} do`);
  }
  return { kind, index: Number(number ?? 0) };
}
