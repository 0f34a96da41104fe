/**
 * Finds OpenVINO's C library by looking for files. Nothing is loaded and no program is started, so the server can ask
 * before it knows whether OpenVINO will be used. Hides where the ways to install OpenVINO put it, and how it is named.
 *
 * Sources: OpenVINO 2026.4, "Install OpenVINO Runtime" (archive, APT, PyPI, npm) and the files of its wheel; Python's
 * sysconfig (schemes posix_prefix, posix_user and Debian's own).
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { OperatorError } from '../../errors.js';

export interface FoundLibrary {
  /** Of the C library. */
  readonly path: string;
  /** How it was installed, for people, e.g. `PyPI`. */
  readonly source: string;
}

export interface SearchOptions {
  /** The setting FULLCONV_OPENVINO: looked in alone. Empty: looked for everywhere. */
  readonly folder?: string | undefined;
  /** Default: this process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Finds packages as `require` does. Default: those installed beside this program. */
  readonly require?: Pick<NodeJS.Require, 'resolve'>;
  readonly platform?: NodeJS.Platform;
}

export const INSTALL = 'python3 -m pip install openvino';

/** Below a folder that somebody calls OpenVINO's: of the archive, of a virtual environment, of the wheel, of the package. */
const BELOW = [
  '.',
  'runtime/lib/intel64',
  'runtime/lib/arm64',
  'runtime/lib/arm64/Release',
  'runtime/lib/aarch64',
  'libs',
  'openvino/libs',
  'bin',
  'lib',
];

const SYSTEM_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
  '/opt/homebrew/lib',
  ...['runtime/lib/intel64', 'runtime/lib/aarch64'].map((below) => join('/opt/intel/openvino', below)),
];

/** The library that would be used; undefined where there is none. */
export function findLibrary(options: SearchOptions = {}): FoundLibrary | undefined {
  const { folder = '', platform = process.platform } = options;
  const places = folder === '' ? everywhere(options) : [{ source: 'FULLCONV_OPENVINO', folders: belowFolder(folder) }];
  for (const { source, folders } of places) {
    for (const each of folders) {
      const path = libraryIn(each, platform);
      if (path !== undefined) return { path, source };
    }
  }
  return undefined;
}

/** As findLibrary. Throws OperatorError with the command that installs OpenVINO. */
export function requireLibrary(options: SearchOptions = {}): FoundLibrary {
  const found = findLibrary(options);
  if (found !== undefined) return found;
  const { folder = '', platform = process.platform } = options;
  if (FILE_NAMES[platform] === undefined) throw new OperatorError('the engine openvino is for Linux and macOS');
  throw new OperatorError(
    folder === ''
      ? `OpenVINO is not installed: ${INSTALL}; or set FULLCONV_OPENVINO to the folder where it is`
      : `FULLCONV_OPENVINO=${folder}: there is no C library of OpenVINO in this folder or in ${BELOW.slice(1).join(', ')} below it`,
  );
}

interface Place {
  readonly source: string;
  /** Made when it is their turn. */
  readonly folders: Iterable<string>;
}

function everywhere({
  environment = process.env,
  require: from = createRequire(import.meta.url),
}: SearchOptions): readonly Place[] {
  return [
    { source: 'npm', folders: npmFolders(from) },
    { source: 'PyPI', folders: wheelFolders(environment) },
    { source: 'system', folders: systemFolders(environment) },
  ];
}

function belowFolder(folder: string): string[] {
  return [...BELOW.map((below) => join(folder, below)), ...pythonPackages(folder).map(wheelLibraries)];
}

function* npmFolders(from: Pick<NodeJS.Require, 'resolve'>): Iterable<string> {
  try {
    yield join(dirname(from.resolve('openvino-node/package.json')), 'bin');
  } catch {
    // It is not installed.
  }
}

/** Where `pip` installs for the interpreters on the path, for a virtual environment, for Conda, and for the user. */
function* wheelFolders(environment: Readonly<Record<string, string | undefined>>): Iterable<string> {
  const { VIRTUAL_ENV, CONDA_PREFIX, PATH = '' } = environment;
  const prefixes = [VIRTUAL_ENV, CONDA_PREFIX, ...PATH.split(delimiter).flatMap(prefixesOf), userBase()];
  const seen = new Set<string>();
  for (const prefix of prefixes) {
    if (prefix === undefined || prefix === '' || seen.has(prefix)) continue;
    seen.add(prefix);
    yield* pythonPackages(prefix).map(wheelLibraries);
  }
}

function* systemFolders({ INTEL_OPENVINO_DIR, LD_LIBRARY_PATH = '' }: Readonly<Record<string, string | undefined>>) {
  if (INTEL_OPENVINO_DIR !== undefined) yield* BELOW.map((below) => join(INTEL_OPENVINO_DIR, below));
  yield* LD_LIBRARY_PATH.split(delimiter).filter((folder) => folder !== '');
  yield* SYSTEM_FOLDERS;
}

/** The prefixes of the interpreters in a folder of the path. pyenv's are all behind one folder of links to a script. */
function prefixesOf(folder: string): string[] {
  const prefix = dirname(folder);
  if (basename(folder) !== 'shims') return basename(folder) === 'bin' ? [prefix] : [];
  const versions = join(prefix, 'versions');
  return list(versions).map((version) => join(versions, version));
}

function userBase(): string | undefined {
  try {
    return join(homedir(), '.local');
  } catch {
    return undefined;
  }
}

/** The folders of packages below a prefix: `lib/python3.12/site-packages`, on Debian `lib/python3/dist-packages`. */
function pythonPackages(prefix: string): string[] {
  return ['lib', 'lib64', 'local/lib'].flatMap((lib) =>
    list(join(prefix, lib))
      .filter((name) => name.startsWith('python3'))
      .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
      .flatMap((python) => ['site-packages', 'dist-packages'].map((packages) => join(prefix, lib, python, packages))),
  );
}

function wheelLibraries(packages: string): string {
  return join(packages, 'openvino', 'libs');
}

/** The C library in a folder, the newest of several: `libopenvino_c.so.2641`, `libopenvino_c.2641.dylib`. */
function libraryIn(folder: string, platform: NodeJS.Platform): string | undefined {
  const name = FILE_NAMES[platform];
  if (name === undefined) return undefined;
  const [newest] = list(folder)
    .filter((file) => name.test(file))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  return newest === undefined ? undefined : join(folder, newest);
}

const FILE_NAMES: Partial<Record<NodeJS.Platform, RegExp>> = {
  linux: /^libopenvino_c\.so(\.\d+)*$/,
  darwin: /^libopenvino_c(\.\d+)*\.dylib$/,
};

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
