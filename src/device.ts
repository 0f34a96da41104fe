/**
 * The devices that nets run on, by the names people give them: `cpu`, `webgpu`, `cuda:1`. A number after the kind picks
 * one of several devices of that kind, if the engine offers the choice. runtime/parse-devices.ts reads the names.
 */

/**
 * For example an execution provider of ONNX Runtime or a backend of TensorFlow.js. Each engine lists its own kinds
 * (runtime/engine-description.ts).
 */
export type DeviceKind = string;

export interface Device {
  readonly kind: DeviceKind;
  /** Which one of that kind, counted from 0. */
  readonly index: number;
}

/** The devices that a server runs on. */
export interface DeviceChoice {
  /** One or more, of one kind. */
  readonly devices: readonly Device[];
  /** The reason for the choice, for the log and for clients (/v1/models). */
  readonly why: string;
}

/** The name that `parseDevices` reads; the number is left out if it is 0. */
export function deviceName({ kind, index }: Device): string {
  return index === 0 ? kind : `${kind}:${index}`;
}

export const deviceNames = (devices: readonly Device[]): string => devices.map(deviceName).join(', ');
