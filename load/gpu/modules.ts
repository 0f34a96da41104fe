/**
 * The installed packages that a program needs, with what they need themselves, and of those the files that Linux on x64 can use.
 * Nothing is fetched: what is packed is what is installed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { isFile } from '../../src/files.js';

interface PackageManifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

const TARGET = { os: 'linux', cpu: 'x64', libc: 'glibc' } as const;

/** The folders of packages, relative to `root`, whose `node_modules` they lie in or below. `names`: where to begin. */
export async function packageFolders(root: string, names: readonly string[]): Promise<string[]> {
  const folders = new Set<string>();
  const visit = async (name: string, from: string): Promise<void> => {
    const folder = await findPackage(root, name, from);
    if (folder === undefined || folders.has(folder)) return;
    const manifest = await readManifest(join(root, folder));
    if (!fits(manifest)) return;
    folders.add(folder);
    for (const each of needsOf(manifest)) await visit(each, folder);
  };
  for (const name of names) await visit(name, '');
  return [...folders].sort();
}

/** The packages that a manifest names, those of a peer only as far as they are installed: `findPackage` finds no others. */
export function needsOf({ dependencies, optionalDependencies, peerDependencies }: PackageManifest): string[] {
  return Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
}

export async function readManifest(folder: string): Promise<PackageManifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as PackageManifest;
}

/** As Node finds it: in the `node_modules` of the package that needs it, or of one that this lies in. */
async function findPackage(root: string, name: string, from: string): Promise<string | undefined> {
  for (let at = from; ; at = dirname(at)) {
    const base = at === '.' ? '' : at;
    const folder = join(base, 'node_modules', name);
    if (!base.endsWith('node_modules') && (await isFile(join(root, folder, 'package.json')))) return folder;
    if (base === '') return undefined;
  }
}

function fits({ os, cpu, libc }: PackageManifest): boolean {
  const takes = (list: readonly string[] | undefined, own: string): boolean =>
    list === undefined ||
    (!list.includes(`!${own}`) && (list.includes(own) || list.every((word) => word.startsWith('!'))));
  return takes(os, TARGET.os) && takes(cpu, TARGET.cpu) && takes(libc, TARGET.libc);
}

/** Files that no program reads. */
const UNREAD = /\.(map|md|markdown|ts|mts|cts|flow|tsbuildinfo)$/i;
const NATIVE = /\.(node|so|dylib|dll|lib|a|exe|wasm)(\.\d+)*$/;
/** Words of a path that name another system or processor. */
const ELSEWHERE = new Set([
  ...[
    'darwin',
    'macos',
    'osx',
    'ios',
    'win32',
    'windows',
    'win',
    'freebsd',
    'openbsd',
    'netbsd',
    'android',
    'aix',
    'sunos',
  ],
  ...[
    'arm64',
    'aarch64',
    'arm',
    'armhf',
    'armv7l',
    'ia32',
    'x86',
    'riscv64',
    'riscv64d',
    'loong64',
    'ppc64',
    's390x',
    'musl',
    'musllinux',
  ],
]);

/** The files of a package that are worth carrying, relative to it; those of packages inside it are not among them. */
export async function filesOf(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name === '.bin') continue;
    if (entry.isDirectory()) {
      files.push(...(await filesOf(join(folder, entry.name))).map((file) => join(entry.name, file)));
    } else {
      files.push(entry.name);
    }
  }
  return files.filter(isUseful);
}

export function isUseful(file: string): boolean {
  if (UNREAD.test(file)) return false;
  return !NATIVE.test(file) || !file.split(sep).some((part) => part.split(/[-_.]/).some((word) => ELSEWHERE.has(word)));
}
