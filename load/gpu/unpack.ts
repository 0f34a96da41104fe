/**
 * Unpacks the groups of the kit that are there, into the folder that the first was unpacked into. What is not complete or does not
 * have its digest stays where it is, and the report says so.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { digestOfFile, digestOfGroup, PARTS_FILE, type Compression, type Group, type PartsList } from './parts.js';
import type { PartState } from './report.js';
import { reasonOf } from './step-task.js';

/** `folder`: of the parts; `target`: of the kit. Rejects if the list of parts cannot be read. */
export async function unpackParts(
  folder: string,
  target: string,
): Promise<{ readonly list: PartsList; readonly states: PartState[] }> {
  const list = JSON.parse(await readFile(join(folder, PARTS_FILE), 'utf8')) as PartsList;
  const states: PartState[] = [];
  for (const [index, group] of list.groups.entries()) {
    const state = await unpackGroup(group, { folder, target, isCore: index === 0 }).catch(reasonOf);
    states.push({ name: group.name, holds: group.holds, state });
  }
  return { list, states };
}

async function unpackGroup(
  group: Group,
  { folder, target, isCore }: { readonly folder: string; readonly target: string; readonly isCore: boolean },
): Promise<string> {
  const mark = join(target, '.cache', 'unpacked', group.name);
  if ((await readFile(mark, 'utf8').catch(() => undefined)) === digestOfGroup(group)) return 'unpacked';
  for (const { file, bytes, sha256 } of group.parts) {
    const size = await stat(join(folder, file)).then(
      (found) => found.size,
      () => undefined,
    );
    if (size === undefined) return `${file} is not there`;
    if (size !== bytes) return `${file} has ${size} bytes, not ${bytes}`;
    if ((await digestOfFile(join(folder, file))) !== sha256) return `${file} is damaged: its digest is another`;
  }
  // This program comes from the first.
  if (!isCore) await extract(group, folder, target);
  await mkdir(dirname(mark), { recursive: true });
  await writeFile(mark, digestOfGroup(group));
  return 'unpacked';
}

async function extract({ compression, parts }: Group, folder: string, target: string): Promise<void> {
  const [command, args] = await unpackerOf(compression);
  const unpack = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const tar = spawn('tar', ['-xof', '-', '-C', target], { stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = Promise.all([exitOf(unpack, command), exitOf(tar, 'tar')]);
  const fed = pipeline(async function* () {
    for (const { file } of parts) yield* createReadStream(join(folder, file)) as AsyncIterable<Buffer>;
  }, unpack.stdin);
  const passed = pipeline(unpack.stdout, tar.stdin);
  // What a program says of its end tells more than that a pipe broke.
  await Promise.race([ended, Promise.allSettled([fed, passed]).then(() => ended)]);
}

/** Python can unpack what xz has packed, and is there more often. `run` has the same line. */
const PYTHON = 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)';

async function unpackerOf(compression: Compression): Promise<readonly [command: string, args: readonly string[]]> {
  const own = [compression, ['-dc']] as const;
  if (compression === 'gzip') return own;
  const isThere = promisify(execFile)(compression, ['--version']).then(
    () => true,
    () => false,
  );
  return (await isThere) ? own : ['python3', ['-c', PYTHON]];
}

/** Rejects if it cannot be started, or fails. */
async function exitOf(child: ReturnType<typeof spawn>, name: string): Promise<void> {
  const [code] = (await once(child, 'close').catch((error: unknown) => {
    throw new Error(`${name} cannot be started: ${(error as Error).message}`);
  })) as [number | null];
  if (code !== 0) throw new Error(`${name} ended with code ${code}`);
}
