/**
 * The description of an engine. It holds everything that differs between engines: which devices there are, which of
 * them are tried, how they are fed, and how the engine is loaded. A new engine is a folder with a description, and a
 * line in engines.ts.
 *
 * A description is read wherever settings are, so its file imports no library: `providers` and `load` import it when
 * they are called.
 */
import type { Device, DeviceKind } from '../device.js';
import type { DevicePolicy } from './device-policy.js';
import type { Engine, EngineOptions } from './session.js';

export interface EngineDescription<Name extends string = string> {
  /** Its name in the setting FULLCONV_ENGINE. */
  readonly name: Name;
  /**
   * The kinds of devices it computes on, as the setting FULLCONV_DEVICE names them. The first exists on every machine.
   */
  readonly kinds: readonly DeviceKind[];
  /** The kinds that take a number to pick one of several devices: `cuda:1`. */
  readonly numbered: readonly DeviceKind[];
  /**
   * The kinds that `auto` tries, in this order. A kind that takes minutes before its first answer does not belong here.
   */
  readonly automatic: readonly DeviceKind[];
  /** What the help adds about the engine at the settings that it treats specially. */
  readonly notes?: Readonly<Partial<Record<'engine' | 'workers' | 'threads', string>>>;
  /** The kinds that the installed engine supports; `auto` tries no others. `libraryFolder` as in EngineOptions. */
  providers(libraryFolder?: string): Promise<readonly string[]>;
  /**
   * Whether a device of this kind is tried before it is used, if it is asked for by name. False if nothing can be wrong
   * with it, or if `load` itself says what is wrong.
   */
  tries(kind: DeviceKind): boolean;
  /** Why the engine never runs on a device, as a sentence that begins with its verb; undefined when it may. */
  refuses?(device: Device): string | undefined;
  /** Whether it computes in half precision on such a device, rather than in single precision on rounded weights. */
  computesHalf(kind: DeviceKind): boolean;
  /**
   * Whether it rounds the factors of products on such a device, in single precision too, to the ten bits that half precision has:
   * TF32, which NVIDIA's libraries use by themselves. Absent: it does not.
   */
  roundsFactors?(kind: DeviceKind): boolean;
  /**
   * Whether the setting `auto` for the engine tries it on the CPU, where it is installed. It is then asked in a process of its own
   * how fast it is, and for its half precision.
   */
  readonly contends?: boolean;
  /**
   * Which build of its library would be loaded: what the engine showed holds only for that. Undefined where there is none, or
   * nothing is to be kept.
   */
  identity?(libraryFolder?: string): string | undefined;
  /**
   * The most runs that one process may have at the same time. They share the weights, and the engine gives each its threads; when the
   * process is lost, all of them are. Absent: 1.
   */
  readonly lanes?: number;
  /**
   * Whether sessions use the weights of a large net where the engine keeps them on disk (optimized-models.ts), so that they are in
   * memory once for all processes. Absent: each process has a copy.
   */
  mapsWeights?(kind: DeviceKind): boolean;
  /** How to feed such a device on a machine with this many cores. */
  policy(kind: DeviceKind, cores: number): DevicePolicy;
  /**
   * Why a device does not work and what would help, for people. `message`: the engine's exception, or how the process
   * that tried the device ended; `written`: the text on standard error.
   */
  explainFailure(kind: DeviceKind, message: string, written: string): string;
  /** Load the engine's library. Throws OperatorError if it must be installed first. */
  load(options: EngineOptions): Promise<Engine>;
}
