/**
 * Chooses the engine and the devices that a server runs on, and says why. An engine that is asked for by name must work.
 * `auto` is the standard engine where it has a GPU to run on. On a CPU it is the first of the other installed engines that
 * runs the probe net right and faster than the standard one.
 *
 * What an engine showed on this processor is kept, because a try takes half a second of a start.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Device, DeviceChoice } from '../device.js';
import { OperatorError } from '../errors.js';
import { keepJson, readKept } from '../files.js';
import { chooseDevices, thisMachine, type Machine } from './choose-devices.js';
import type { EngineDescription } from './engine-description.js';
import { DEFAULT_ENGINE, ENGINES, engineNamed, type EngineName } from './engines.js';
import type { Measured, Probed } from './probe-device.js';
import { describeProcessor } from './processor.js';
import type { Autocast } from './session.js';

/** The engine and the devices that a server runs on. */
export interface EngineChoice {
  readonly engine: EngineName;
  readonly device: DeviceChoice;
  /** The half precision in which single-precision nets may be computed; absent: none. */
  readonly autocast?: Autocast | undefined;
}

export interface EngineWish {
  readonly engine: EngineName | 'auto';
  readonly device: readonly Device[] | 'auto';
}

/** The machine as an engine sees it (choose-devices.ts). */
export type MachineOf = (engine: EngineDescription) => Machine;

const CPU: Device = { kind: 'cpu', index: 0 };

/** What is less may be chance. */
const FASTER = 1.1;

/** Increment it whenever a probe would find something else. */
const PROBE = 2;

/** Throws OperatorError if what is asked for does not work, and UsageError if the engine does not have the devices. */
export async function chooseEngine(wish: EngineWish, machineOf: MachineOf): Promise<EngineChoice> {
  const { engine: name, device } = wish;
  if (name === 'auto') return chooseAutomatically(wish, machineOf);
  const engine = engineNamed(name);
  const choice = await chooseDevices(device, engine, machineOf(engine));
  if (engine.contends !== true) return { engine: name, device: choice };
  const probed = await machineOf(engine).probe(CPU);
  if ('failure' in probed) throw new OperatorError(`FULLCONV_ENGINE=${name}: ${probed.failure}`);
  return { engine: name, device: { ...choice, why: `${choice.why}; ${describe(engine, probed)}` }, ...castOf(probed) };
}

async function chooseAutomatically({ device }: EngineWish, machineOf: MachineOf): Promise<EngineChoice> {
  const standard = await chooseDevices(device, DEFAULT_ENGINE, machineOf(DEFAULT_ENGINE));
  const reasons = [standard.why];
  for (const engine of standard.devices.some(({ kind }) => kind !== CPU.kind) ? [] : ENGINES) {
    if (engine.contends !== true) continue;
    const machine = machineOf(engine);
    if (!(await machine.listProviders()).includes(CPU.kind)) {
      reasons.push(`${engine.name} is not installed`);
      continue;
    }
    const probed = await machine.probe(CPU);
    if ('failure' in probed) {
      reasons.push(`${engine.name} does not work: ${probed.failure}`);
      continue;
    }
    reasons.push(describe(engine, probed));
    if (FASTER * probed.runMs > probed.coreMs) continue;
    return { engine: engine.name as EngineName, device: { ...standard, why: reasons.join('; ') }, ...castOf(probed) };
  }
  return { engine: DEFAULT_ENGINE.name, device: { ...standard, why: reasons.join('; ') } };
}

function castOf({ autocast }: Measured): Pick<EngineChoice, 'autocast'> {
  return autocast === undefined ? {} : { autocast };
}

function describe({ name }: EngineDescription, { runMs, coreMs, autocast }: Measured): string {
  const [there, here] = [runMs, coreMs].map((ms) => ms.toFixed(ms < 10 ? 1 : 0));
  const how = autocast === undefined ? '' : ` in ${autocast}`;
  return `a core runs the probe net in ${there} ms with ${name}${how}, in ${here} with ${DEFAULT_ENGINE.name}`;
}

export interface ThisMachineOptions {
  readonly cores: number;
  /** The folder that the user says an engine's library is in. */
  readonly libraryFolder?: string | undefined;
  readonly mayAutocast: boolean;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Of this program: another may try otherwise. */
  readonly version: string;
}

/** This machine; the probes of engines that contend are kept in the cache. */
export function theseMachines({ cores, libraryFolder, mayAutocast, cache, version }: ThisMachineOptions): MachineOf {
  return (engine) => {
    const machine = thisMachine(cores, engine, { libraryFolder, mayAutocast });
    const identity = engine.identity?.(libraryFolder);
    if (identity === undefined) return machine;
    const parts = [`${PROBE}`, version, process.version, engine.name, identity, String(mayAutocast)];
    return { ...machine, probe: (device) => keptProbe(cache, parts, () => machine.probe(device)) };
  };
}

/** The probe by what it depends on, or made now. */
export async function keptProbe(
  cache: string,
  parts: readonly string[],
  probe: () => Promise<Probed>,
): Promise<Probed> {
  const key = [...parts, await describeProcessor()].join('\n');
  const file = join(cache, 'probes', `${createHash('sha256').update(key).digest('hex')}.json`);
  const known = await readKept(file, measuredOf);
  if (known !== undefined) return known;
  const probed = await probe();
  if (!('failure' in probed)) await keepJson(file, probed);
  return probed;
}

function measuredOf(json: unknown): Measured | undefined {
  const { runMs, coreMs, autocast } = json as Partial<Measured>;
  if (typeof runMs !== 'number' || typeof coreMs !== 'number') return undefined;
  return { runMs, coreMs, ...(autocast === 'bf16' && { autocast }) };
}
