/**
 * The kit as files to carry: groups of what belongs together, each a compressed tar in parts of bounded size. `parts.json` lists
 * them with their digests; so does SHA256SUMS, for `sha256sum -c`.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

export const PARTS_FILE = 'parts.json';
export const SUMS_FILE = 'SHA256SUMS';

export interface PartsList {
  readonly kind: 'gpu-kit';
  readonly version: 1;
  /** Of the checkout. */
  readonly commit: string;
  readonly date: string;
  /** The first is unpacked by `run`, a shell script, the others by the Node that it holds. */
  readonly groups: readonly Group[];
}

export interface Group {
  readonly name: string;
  /** In words. */
  readonly holds: string;
  readonly compression: Compression;
  /** In their order. */
  readonly parts: readonly Part[];
}

export interface Part {
  readonly file: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export type Compression = 'xz' | 'gzip';
export const EXTENSIONS: Readonly<Record<Compression, string>> = { xz: 'xz', gzip: 'gz' };

/** `fullconv-gpu-1-core.tar.xz.01of02`: `run` takes the order and the number of parts from the names. */
export function partName(group: string, compression: Compression, part: number, parts: number): string {
  const [index, count] = [part, parts].map((value) => String(value).padStart(2, '0'));
  return `fullconv-gpu-${group}.tar.${EXTENSIONS[compression]}.${index}of${count}`;
}

/** Identifies the content of a group. */
export function digestOfGroup({ parts }: Group): string {
  return parts.map(({ sha256 }) => sha256).join(' ');
}

export async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
