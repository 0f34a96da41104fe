/**
 * Where the machine's libraries are: CUDA's and TensorRT's as Python packages or as NVIDIA installs them, Vulkan's drivers, and
 * those that came with the kit. A process finds them by LD_LIBRARY_PATH, which must be set before it starts.
 */
import { execFile } from 'node:child_process';
import { readdir, realpath } from 'node:fs/promises';
import { arch } from 'node:process';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { isFile } from '../../src/files.js';

/** Beside those of the system, where the dynamic linker looks by itself. */
const USUAL = ['/usr/local/nvidia/lib64', '/usr/local/nvidia/lib', '/usr/local/cuda/lib64'];

/** Where Vulkan's loader looks by itself, and where drivers are in containers that have no folder of the system's. */
const DRIVER_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];
const OTHER_DRIVER_FOLDERS = ['/usr/local/nvidia/share/vulkan/icd.d', '/usr/lib/x86_64-linux-gnu/nvidia/vulkan/icd.d'];

export interface Libraries {
  readonly folders: readonly string[];
  /** Variables for processes that load them. */
  readonly environment: Readonly<Record<string, string>>;
}

/** `own`: the folder of libraries that came with the kit. What the caller's variables say stays, and comes first. */
export async function findLibraries(own: string): Promise<Libraries> {
  const packages = (await pythonFolders()).flatMap((folder) => [
    join(folder, 'nvidia/*/lib'),
    join(folder, 'tensorrt_libs'),
  ]);
  const found = await Promise.all([own, ...packages, ...USUAL].map(foldersAt));
  const folders = [...new Set(found.flat())];
  const given = process.env['LD_LIBRARY_PATH'];
  const paths = [...(given === undefined || given === '' ? [] : [given]), ...folders];
  const drivers = await vulkanDrivers();
  return {
    folders,
    environment: {
      ...(paths.length > 0 && { LD_LIBRARY_PATH: paths.join(delimiter) }),
      ...(drivers.length > 0 && { VK_DRIVER_FILES: drivers.join(delimiter) }),
    },
  };
}

/** A folder, or those that a pattern with one `*` names; none where there is none. */
async function foldersAt(pattern: string): Promise<string[]> {
  const [before, after] = pattern.split('*');
  const names = await readdir(before!, { withFileTypes: true }).catch(() => []);
  if (after === undefined) return names.length > 0 ? [pattern] : [];
  const found = await Promise.all(names.map(({ name }) => foldersAt(join(before!, name, after))));
  return found.flat().sort();
}

/** Where Python looks for packages. */
async function pythonFolders(): Promise<string[]> {
  const script = 'import json, sys; print(json.dumps([p for p in sys.path if p]))';
  try {
    const { stdout } = await promisify(execFile)('python3', ['-c', script], { timeout: 20_000 });
    return JSON.parse(stdout) as string[];
  } catch {
    return [];
  }
}

/** Drivers that the loader would not find by itself; none where it is told already, or finds one. */
async function vulkanDrivers(): Promise<string[]> {
  if (process.env['VK_DRIVER_FILES'] !== undefined || process.env['VK_ICD_FILENAMES'] !== undefined) return [];
  const list = async (folders: readonly string[]): Promise<string[]> => {
    const lists = await Promise.all(
      folders.map(async (folder) => (await readdir(folder).catch(() => [])).map((name) => join(folder, name))),
    );
    return lists.flat().filter((name) => name.endsWith('.json'));
  };
  return (await list(DRIVER_FOLDERS)).length > 0 ? [] : list(OTHER_DRIVER_FOLDERS);
}

const LINKER = arch === 'x64' ? '/lib64/ld-linux-x86-64.so.2' : '/lib/ld-linux-aarch64.so.1';
const NATIVE = /\.(node|so(\.\d+)*)$/;

/** Libraries that native files of packages want and that are nowhere: the files by the library that they lack. */
export async function missingLibraries(
  modules: string,
  environment: Libraries['environment'],
): Promise<Map<string, string[]>> {
  const missing = new Map<string, string[]>();
  const files = (await readdir(modules, { recursive: true }).catch(() => [])).filter((file) => NATIVE.test(file));
  for (const file of files) {
    for (const library of await lackedBy(join(modules, file), environment)) {
      missing.set(library, [...(missing.get(library) ?? []), file]);
    }
  }
  return missing;
}

/** By the dynamic linker itself, as ldd asks it: `--list` would stop at the first. A file for another system lacks nothing. */
async function lackedBy(file: string, environment: Libraries['environment']): Promise<string[]> {
  const path = await realpath(file).catch(() => file);
  if (!(await isFile(path))) return [];
  const env = { ...process.env, ...environment, LD_TRACE_LOADED_OBJECTS: '1' };
  const listed = await promisify(execFile)(LINKER, [path], { env, timeout: 20_000 }).catch(() => undefined);
  return [...(listed?.stdout.matchAll(/^\s*(\S+) => not found/gm) ?? [])].map(([, library]) => library!);
}
