/**
 * The list of engines. A new one is a folder with a description (engine-description.ts), and a place in this list. No
 * engine's library is imported here: a description loads it when it is asked to.
 */
import type { DeviceKind } from '../device.js';
import type { EngineDescription } from './engine-description.js';
import { onnxruntime } from './onnxruntime/description.js';
import { openvino } from './openvino/description.js';
import { tensorflow } from './tensorflow/description.js';

const LISTED = [onnxruntime, openvino, tensorflow] as const;

export type EngineName = (typeof LISTED)[number]['name'];

export const ENGINES: readonly EngineDescription[] = LISTED;

/** In the order of ENGINES. */
export const ENGINE_NAMES: readonly EngineName[] = LISTED.map(({ name }) => name);

/** The engine that is always there. Every device is compared with its CPU. */
export const DEFAULT_ENGINE = LISTED[0];

export function engineNamed(name: EngineName): EngineDescription {
  return LISTED.find((engine) => engine.name === name)!;
}

/** Engine and kind of device as the name of a folder, for measurements that hold only there. */
export function platformOf({ name }: EngineDescription, kind: DeviceKind): string {
  return `${name}-${kind}`;
}
