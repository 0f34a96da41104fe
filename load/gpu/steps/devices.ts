/** What the machine has, which devices work, and what is missing for the others. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { probeDevice } from '../../../src/runtime/probe-device.js';
import { nvidiaSmi } from '../device-memory.js';
import { missingLibraries } from '../libraries.js';
import { ALL_DEVICES, inOrderOfWorth, partsOf } from '../plan.js';
import { reasonOf, type StepContext } from '../step-task.js';

/** TensorRT compiles the probe net, too. */
const LONGEST_PROBE_S = 40;
const SHORTEST_PROBE_S = 2;

export async function tryDevices(context: StepContext): Promise<void> {
  const fact = (key: string, value: string): void => context.put({ table: 'fact', key, value });
  fact('system', `Linux ${release()}, ${glibcVersion()}`);
  fact('card', await nvidiaSmi('name,memory.total,driver_version,compute_cap').catch(sayWhy('nvidia-smi')));
  fact('device files', (await gpuFiles()).join(' ') || 'none');
  fact('python3', await pythonVersion().catch(sayWhy('python3')));
  fact('library folders', process.env['LD_LIBRARY_PATH'] ?? 'those of the system alone');
  const drivers = process.env['VK_DRIVER_FILES'];
  if (drivers !== undefined) fact('Vulkan drivers', drivers);
  const missing = await missingLibraries('node_modules', {});
  for (const [library, files] of missing) fact(`missing: ${library}`, `wanted by ${files.join(', ')}`);

  const { devices } = context;
  for (const device of inOrderOfWorth(devices.length > 0 ? devices : ALL_DEVICES)) {
    const { engine, kind } = partsOf(device);
    const limit = Math.min(LONGEST_PROBE_S, Math.max(SHORTEST_PROBE_S, context.left()));
    context.begin(device);
    const probed = await probeDevice({ kind, index: 0 }, engine, { limitMs: Math.ceil(limit * 1000) });
    context.put({
      ...{ table: 'device', key: device, device },
      ...('failure' in probed ? { failure: probed.failure } : { probe: probed }),
    });
  }
}

function sayWhy(command: string): (error: unknown) => string {
  return (error) =>
    (error as NodeJS.ErrnoException).code === 'ENOENT' ? `there is no ${command}` : `${command}: ${reasonOf(error)}`;
}

function glibcVersion(): string {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime === undefined ? 'no glibc' : `glibc ${header.glibcVersionRuntime}`;
}

async function gpuFiles(): Promise<string[]> {
  const [devices, cards] = await Promise.all(['/dev', '/dev/dri'].map((folder) => readdir(folder).catch(() => [])));
  return [...devices!.filter((name) => name.startsWith('nvidia')), ...cards!.map((name) => `dri/${name}`)];
}

async function pythonVersion(): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('python3', ['--version'], { timeout: 10_000 });
  return (stdout + stderr).trim();
}
