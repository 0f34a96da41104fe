/**
 * What a net runs on, as people name it: `cpu`, `webgpu`, `cuda:1`. A number after the kind tells several devices of one kind
 * apart, where the engine lets them be chosen.
 */

/** An execution provider of ONNX Runtime, say, or a backend of TensorFlow.js: each engine says its own (runtime/engine-description.ts). */
export type DeviceKind = string;

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

/** The name that `parseDevices` reads, the number left out where it says nothing. */
export function deviceName({ kind, index }: Device): string {
  return index === 0 ? kind : `${kind}:${index}`;
}

export const deviceNames = (devices: readonly Device[]): string => devices.map(deviceName).join(', ');
