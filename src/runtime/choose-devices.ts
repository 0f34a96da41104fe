/**
 * Which devices a server runs on, and why. A device that was asked for by name is tried, and is an error with the remedy
 * when it does not work. `auto` tries what the machine may have, its vendor's own way first, and takes the first that
 * works and is faster than the CPU's cores together: the software adapters of WebGPU work too, and are not.
 *
 * A machine that shows no GPU pays nothing: on Linux one without a device file for it is not tried.
 */
import { readdir } from 'node:fs/promises';
import { deviceName, type Device, type DeviceChoice, type DeviceKind } from '../device.js';
import { OperatorError, UsageError } from '../errors.js';
import { probeDevice, type Measured, type Probed } from './probe-device.js';
import type { EngineName } from './session.js';

/** What is asked about the machine; tests answer for others. */
export interface Machine {
  readonly cores: number;
  /** Providers in the engine's library. */
  listProviders(): Promise<readonly string[]>;
  /** Names of device files of GPUs, e.g. `nvidia0`, `renderD128`; undefined where GPUs have none. */
  listGpuFiles(): Promise<readonly string[] | undefined>;
  probe(device: Device): Promise<Probed>;
}

/** Kinds that an engine runs on. */
const KINDS: Readonly<Record<EngineName, readonly DeviceKind[]>> = {
  onnxruntime: ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'],
  tensorflow: ['cpu', 'cuda', 'wasm'],
};

/** In the order in which `auto` tries them. Not TensorRT: it compiles for minutes for each shape, which is to be asked for. */
const AUTOMATIC: readonly DeviceKind[] = ['cuda', 'coreml', 'dml', 'webgpu'];

const CPU: Device = { kind: 'cpu', index: 0 };

/**
 * Try what the setting names. Throws OperatorError for a device that was asked for and does not work, UsageError for one
 * that the engine does not have.
 */
export async function chooseDevices(
  setting: readonly Device[] | 'auto',
  engine: EngineName,
  machine: Machine,
): Promise<DeviceChoice> {
  if (setting === 'auto') return chooseAutomatically(KINDS[engine], machine);
  const strange = setting.find(({ kind }) => !KINDS[engine].includes(kind));
  if (strange !== undefined) {
    throw new UsageError(`FULLCONV_DEVICE=${deviceName(strange)}: ${engine} runs on ${KINDS[engine].join(', ')} only`);
  }
  if (engine === 'tensorflow') return chooseForTensorFlow(setting);
  if (setting.every(({ kind }) => kind === 'cpu')) return { devices: setting, why: 'asked for' };
  const times: string[] = [];
  for (const device of setting) {
    const probed = await machine.probe(device);
    if ('failure' in probed) throw new OperatorError(`FULLCONV_DEVICE=${deviceName(device)}: ${probed.failure}`);
    times.push(`${deviceName(device)} ${describe(probed, machine)}`);
  }
  return { devices: setting, why: `asked for; ${times.join('; ')}` };
}

/** Its binding says by itself, when it is loaded, what it lacks; and it computes on the first GPU only. */
function chooseForTensorFlow(setting: readonly Device[]): DeviceChoice {
  const other = setting.find(({ index }) => index > 0);
  if (other === undefined) return { devices: setting, why: 'asked for' };
  throw new UsageError(`FULLCONV_DEVICE=${deviceName(other)}: tensorflow takes the first GPU (CUDA_VISIBLE_DEVICES)`);
}

async function chooseAutomatically(kinds: readonly DeviceKind[], machine: Machine): Promise<DeviceChoice> {
  const files = await machine.listGpuFiles();
  if (files?.length === 0) return { devices: [CPU], why: 'auto: the machine shows no GPU' };
  const providers = await machine.listProviders();
  const reasons: string[] = [];
  for (const kind of AUTOMATIC.filter((each) => kinds.includes(each) && providers.includes(each))) {
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
  return { devices: [CPU], why: `auto: ${reasons.join('; ') || 'the engine has no provider for what is there'}` };
}

/** The CPU's time a run when every core has one of its own, as the server lays them out. */
function cpuMs({ coreMs }: Measured, { cores }: Machine): number {
  return coreMs / cores;
}

function describe(measured: Measured, machine: Machine): string {
  const [device, cpu] = [measured.runMs, cpuMs(measured, machine)].map((ms) => ms.toFixed(ms < 10 ? 1 : 0));
  return `runs the probe net in ${device} ms, the CPU's cores together in ${cpu}`;
}

/** The machine that this is, for an engine. */
export function thisMachine(cores: number, engine: EngineName): Machine {
  return {
    cores,
    listProviders: async () =>
      engine === 'tensorflow'
        ? (await import('./tensorflow/binding.js')).listProviders()
        : (await import('./onnxruntime.js')).listProviders(),
    listGpuFiles: process.platform === 'linux' ? listGpuFiles : () => Promise.resolve(undefined),
    probe: (device) => probeDevice(device, engine),
  };
}

/** NVIDIA's driver; DRM's render nodes (Mesa, AMD, Intel); Windows' GPUs in WSL; Arm's and Qualcomm's own drivers. */
const GPU_FILE = /^(nvidia\d+|renderD\d+|dxg|mali\d+|kgsl-3d0)$/;

const isNvidia = (file: string): boolean => /^(nvidia|dxg)/.test(file);

async function listGpuFiles(): Promise<string[]> {
  const lists = await Promise.all(['/dev', '/dev/dri'].map((folder) => readdir(folder).catch(() => [])));
  return lists.flat().filter((name) => GPU_FILE.test(name));
}
