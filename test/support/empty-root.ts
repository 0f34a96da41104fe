/**
 * A machine with next to nothing on it, and no network: an empty folder with a shell and a few commands as the root of the file
 * system, in namespaces of its own. Linux only, and where namespaces may be made.
 */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, realpath } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { isFile } from '../../src/files.js';

const LINKER = '/lib64/ld-linux-x86-64.so.2';
/** The file systems, the processes and the network of others are not seen; when the first process ends, all end. */
const NAMESPACES = ['--mount', '--pid', '--net', '--fork', '--kill-child=SIGKILL'];

/** Why there can be none here; undefined if there can. `commands`: those that it has. */
export async function whyNoEmptyRoot(commands: readonly string[]): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it is for Linux on x64';
  for (const name of [...commands, 'unshare', 'chroot', 'mount', 'ip']) {
    if ((await findCommand(name)) === undefined) return `there is no ${name}`;
  }
  const tried = spawnSync('unshare', [...flags(), 'sh', '-c', 'ip link set lo up'], { encoding: 'utf8' });
  return tried.status === 0 ? undefined : `unshare: ${tried.stderr.trim()}`;
}

/** Make the folder: the commands, the libraries that they and `programs` are linked to, and mount points. */
export async function makeEmptyRoot(
  root: string,
  commands: readonly string[],
  programs: readonly string[],
): Promise<void> {
  for (const folder of ['bin', 'proc', 'dev', 'tmp']) await mkdir(join(root, folder), { recursive: true });
  for (const name of commands) {
    const file = await realpath((await findCommand(name))!);
    await copyFile(file, join(root, 'bin', name));
    for (const library of librariesOf(file)) await copyInto(root, library);
  }
  for (const program of programs) for (const library of librariesOf(program)) await copyInto(root, library);
  await copyInto(root, LINKER);
}

/** The command line that runs `command` in it. The loopback device is there, and no other. */
export function inEmptyRoot(root: string, command: readonly string[]): string[] {
  const script =
    'ip link set lo up && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"';
  return ['unshare', ...flags(), 'sh', '-c', script, root, ...command];
}

/** Who is not root is root in a namespace of users. */
function flags(): string[] {
  return process.getuid?.() === 0 ? NAMESPACES : ['--map-root-user', ...NAMESPACES];
}

async function findCommand(name: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (await isFile(join(folder, name))) return join(folder, name);
  }
  return undefined;
}

function librariesOf(file: string): string[] {
  const { stdout } = spawnSync(LINKER, ['--list', file], { encoding: 'utf8' });
  return [...stdout.matchAll(/=> (\/\S+)/g)].map(([, library]) => library!);
}

async function copyInto(root: string, file: string): Promise<void> {
  await mkdir(join(root, dirname(file)), { recursive: true });
  await copyFile(await realpath(file), join(root, file));
}
