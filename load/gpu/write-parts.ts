/** Writes a folder as a compressed tar in parts of bounded size, and says what their digests are. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { partName, type Compression, type Group, type Part } from './parts.js';

export interface GroupToWrite extends Pick<Group, 'name' | 'holds' | 'compression'> {
  /** All of it is packed, with paths as they are in it. */
  readonly folder: string;
}

export interface WriteOptions {
  readonly target: string;
  /** Of a part. */
  readonly maxBytes: number;
  /** Of xz and gzip: 0 or 1 to 9. */
  readonly level: number;
}

/** Rejects if tar or the compressor is missing or fails. */
export async function writeGroup({ folder, ...group }: GroupToWrite, options: WriteOptions): Promise<Group> {
  const { target, maxBytes, level } = options;
  const tar = spawn('tar', ['-cf', '-', '-C', folder, '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const compress = spawn(group.compression, compressorArgs(group.compression, level), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const parts: { unfinished: string; bytes: number; sha256: string }[] = [];
  let current:
    { handle: FileHandle; unfinished: string; bytes: number; hash: ReturnType<typeof createHash> } | undefined;
  const finish = async (): Promise<void> => {
    if (current === undefined) return;
    const { handle, unfinished, bytes, hash } = current;
    await handle.close();
    parts.push({ unfinished, bytes, sha256: hash.digest('hex') });
    current = undefined;
  };
  const splitting = (async () => {
    for await (const piece of compress.stdout as AsyncIterable<Buffer>) {
      for (let done = 0; done < piece.length;) {
        if (current === undefined) {
          const unfinished = join(target, `.${group.name}.${parts.length}.tmp`);
          current = { handle: await open(unfinished, 'w'), unfinished, bytes: 0, hash: createHash('sha256') };
        }
        const part = piece.subarray(done, done + maxBytes - current.bytes);
        await current.handle.writeFile(part);
        current.hash.update(part);
        current.bytes += part.length;
        done += part.length;
        if (current.bytes === maxBytes) await finish();
      }
    }
    await finish();
  })();
  await Promise.all([
    exitOf(tar, 'tar'),
    exitOf(compress, group.compression),
    pipeline(tar.stdout, compress.stdin),
    splitting,
  ]);
  const named: Part[] = [];
  for (const [index, { unfinished, bytes, sha256 }] of parts.entries()) {
    const file = partName(group.name, group.compression, index + 1, parts.length);
    await rename(unfinished, join(target, file));
    named.push({ file, bytes, sha256 });
  }
  return { ...group, parts: named };
}

function compressorArgs(compression: Compression, level: number): string[] {
  return compression === 'xz' ? ['-c', '-T0', `-${level}`] : ['-c', `-${Math.max(1, level)}`];
}

/** Rejects if it cannot be started, or fails. */
async function exitOf(child: ReturnType<typeof spawn>, name: string): Promise<void> {
  const [code] = (await once(child, 'close').catch((error: unknown) => {
    throw new Error(`${name} cannot be started: ${(error as Error).message}`);
  })) as [number | null];
  if (code !== 0) throw new Error(`${name} ended with code ${code}`);
}
