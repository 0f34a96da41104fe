/**
 * What an engine says of itself. Whatever differs between engines is asked of its description: which devices there are,
 * which of them are tried, how they are fed, and how the engine is loaded. A new engine is a folder with a description,
 * and a line in engines.ts.
 *
 * A description is read wherever settings are, so its file imports no library: `providers` and `load` do, when called.
 */
import type { Device, DeviceKind } from '../device.js';
import type { DevicePolicy } from './device-policy.js';
import type { Engine, EngineOptions } from './session.js';

export interface EngineDescription<Name extends string = string> {
  /** As the setting FULLCONV_ENGINE calls it. */
  readonly name: Name;
  /** What it computes on, as the setting FULLCONV_DEVICE calls it. The first is there on every machine. */
  readonly kinds: readonly DeviceKind[];
  /** Of these, those of which several are told apart by a number: `cuda:1`. */
  readonly numbered: readonly DeviceKind[];
  /** Of these, those that `auto` tries, in this order. Not one that takes minutes, say, before its first answer. */
  readonly automatic: readonly DeviceKind[];
  /** What the help adds about the engine, at the settings for which it is special. */
  readonly notes?: Readonly<Partial<Record<'engine' | 'workers' | 'threads', string>>>;
  /** Kinds that can be had as the engine is installed here; `auto` tries no others. */
  providers(): Promise<readonly string[]>;
  /**
   * Whether a device of this kind is tried before it is taken, when it was asked for by name. False where nothing can be
   * wrong, or where `load` says by itself what is.
   */
  tries(kind: DeviceKind): boolean;
  /** Why the engine never runs on a device, as a sentence that begins with its verb; undefined when it may. */
  refuses?(device: Device): string | undefined;
  /** Whether it computes in half precision there, rather than in single precision on rounded weights. */
  computesHalf(kind: DeviceKind): boolean;
  /** How such a device wants to be fed, on a machine with so many cores. */
  policy(kind: DeviceKind, cores: number): DevicePolicy;
  /**
   * Why a device does not work and what would help, for people. `message`: the engine's exception, or how the process
   * ended in which it was tried; `written`: what stood on standard error.
   */
  explainFailure(kind: DeviceKind, message: string, written: string): string;
  /** Load the engine's library. Throws OperatorError when it has to be installed first. */
  load(options: EngineOptions): Promise<Engine>;
}
