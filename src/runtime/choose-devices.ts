/**
 * Chooses the devices that a server runs on, and says why. A device that is asked for by name is tried; if it does not
 * work, the error names the remedy. `auto` tries the devices that the machine may have, in the engine's order, and
 * takes the first that works and is faster than the CPU's cores together. WebGPU's software adapters work too, but are
 * slower.
 *
 * A machine that shows no GPU loses no time: on Linux no GPU is tried if there is no device file for one.
 */
import { readdir } from 'node:fs/promises';
import { deviceName, type Device, type DeviceChoice } from '../device.js';
import { OperatorError, UsageError } from '../errors.js';
import type { EngineDescription } from './engine-description.js';
import { probeDevice, type Measured, type Probed, type ProbeOptions } from './probe-device.js';

/** Questions about the machine; tests answer for other machines. */
export interface Machine {
  readonly cores: number;
  /** Providers in the engine's library (EngineDescription). */
  listProviders(): Promise<readonly string[]>;
  /** Names of device files of GPUs, e.g. `nvidia0`, `renderD128`; undefined on systems without such files. */
  listGpuFiles(): Promise<readonly string[] | undefined>;
  probe(device: Device): Promise<Probed>;
}

/**
 * Try the devices of the setting. Throws OperatorError for a named device that does not work, and UsageError for one
 * that the engine does not have.
 */
export async function chooseDevices(
  setting: readonly Device[] | 'auto',
  engine: EngineDescription,
  machine: Machine,
): Promise<DeviceChoice> {
  if (setting === 'auto') return chooseAutomatically(engine, machine);
  for (const device of setting) refuseStrange(device, engine);
  const times: string[] = [];
  for (const device of setting.filter(({ kind }) => engine.tries(kind))) {
    const probed = await machine.probe(device);
    if ('failure' in probed) throw new OperatorError(`FULLCONV_DEVICE=${deviceName(device)}: ${probed.failure}`);
    times.push(`${deviceName(device)} ${describe(probed, machine)}`);
  }
  return { devices: setting, why: ['asked for', ...times].join('; ') };
}

function refuseStrange(device: Device, engine: EngineDescription): void {
  const refuse = (why: string): UsageError =>
    new UsageError(`FULLCONV_DEVICE=${deviceName(device)}: ${engine.name} ${why}`);
  if (!engine.kinds.includes(device.kind)) throw refuse(`runs on ${engine.kinds.join(', ')} only`);
  const why = engine.refuses?.(device);
  if (why !== undefined) throw refuse(why);
}

async function chooseAutomatically({ kinds, automatic }: EngineDescription, machine: Machine): Promise<DeviceChoice> {
  const standard: Device = { kind: kinds[0]!, index: 0 };
  const files = await machine.listGpuFiles();
  if (files?.length === 0) return { devices: [standard], why: 'auto: the machine shows no GPU' };
  const providers = await machine.listProviders();
  const reasons: string[] = [];
  for (const kind of automatic.filter((each) => providers.includes(each))) {
    if (kind === 'cuda' && files?.some(isNvidia) === false) continue;
    const device = { kind, index: 0 };
    const probed = await machine.probe(device);
    if ('failure' in probed) {
      reasons.push(`${kind} does not work: ${probed.failure}`);
      continue;
    }
    reasons.push(`${kind} ${describe(probed, machine)}`);
    if (probed.runMs < cpuMs(probed, machine)) return { devices: [device], why: `auto: ${reasons.join('; ')}` };
  }
  return {
    devices: [standard],
    why: `auto: ${reasons.join('; ') || "the engine has no provider for this machine's GPU"}`,
  };
}

/** The CPU's time per run if every core has a run of its own, as with the server's workers. */
function cpuMs({ coreMs }: Measured, { cores }: Machine): number {
  return coreMs / cores;
}

function describe(measured: Measured, machine: Machine): string {
  const [device, cpu] = [measured.runMs, cpuMs(measured, machine)].map((ms) => ms.toFixed(ms < 10 ? 1 : 0));
  return `runs the probe net in ${device} ms, the CPU's cores together in ${cpu}`;
}

/** This machine, as an engine sees it. */
export function thisMachine(cores: number, engine: EngineDescription, options: ProbeOptions = {}): Machine {
  return {
    cores,
    listProviders: () => engine.providers(options.libraryFolder),
    listGpuFiles: process.platform === 'linux' ? listGpuFiles : () => Promise.resolve(undefined),
    probe: (device) => probeDevice(device, engine, options),
  };
}

/** NVIDIA's driver; DRM's render nodes (Mesa, AMD, Intel); Windows' GPUs in WSL; Arm's and Qualcomm's own drivers. */
const GPU_FILE = /^(nvidia\d+|renderD\d+|dxg|mali\d+|kgsl-3d0)$/;

const isNvidia = (file: string): boolean => /^(nvidia|dxg)/.test(file);

async function listGpuFiles(): Promise<string[]> {
  const lists = await Promise.all(['/dev', '/dev/dri'].map((folder) => readdir(folder).catch(() => [])));
  return lists.flat().filter((name) => GPU_FILE.test(name));
}
