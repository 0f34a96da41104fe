/**
 * Files mapped into memory, so that all processes share their pages (POSIX' `mmap`; not on Windows).
 * A mapping shows what is written to its file later, and a file that is made shorter ends the process that touches the
 * lost part: whoever maps a file watches it (session-files.ts), in a process that may die.
 */
import { closeSync, fstatSync } from 'node:fs';
import { openRegularSync } from '../../regular-files.js';
import { loadKoffi, type Koffi } from '../../koffi.js';

export interface MappedFile {
  /** Of its first byte. */
  readonly address: bigint;
  readonly byteLength: number;
  /** The bytes may not be touched any more. */
  unmap(): void;
}

const PROT_READ = 1;
const MAP_PRIVATE = 2;

/** Blocks its thread. Throws the system's errors, and FileRefused for what is no regular file. */
export function mapFile(path: string): MappedFile {
  const koffi = loadKoffi();
  const descriptor = openRegularSync(path);
  try {
    const byteLength = fstatSync(descriptor).size;
    if (byteLength === 0) return { address: 0n, byteLength, unmap: () => undefined };
    return map(koffi, descriptor, byteLength);
  } finally {
    closeSync(descriptor);
  }
}

function map(koffi: Koffi, descriptor: number, byteLength: number): MappedFile {
  // The functions of the C library that this program is linked to.
  const lib = koffi.load(null);
  const mmap = lib.func('mmap', 'intptr_t', ['void *', 'size_t', 'int', 'int', 'int', 'int64_t']);
  const munmap = lib.func('munmap', 'int', ['intptr_t', 'size_t']);
  const address = BigInt(mmap(null, byteLength, PROT_READ, MAP_PRIVATE, descriptor, 0) as number | bigint);
  if (address === -1n) throw new Error(`${byteLength} bytes of weights cannot be mapped into memory`);
  return { address, byteLength, unmap: () => void munmap(address, byteLength) };
}
