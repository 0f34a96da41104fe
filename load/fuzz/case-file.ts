/**
 * A case that failed, as a file: `KIND-TARGET-HASH` with the bytes as they were given to the target. Those of the server are
 * whole requests. The tests run every such file of test/fixtures/fuzz.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { OperatorError } from '../../src/errors.js';

export const KINDS = ['images', 'multipart', 'query', 'json', 'inference', 'models', 'parsers'] as const;
export type Kind = (typeof KINDS)[number];

export const SEEDS = 'test/fixtures/fuzz';

export interface Case {
  readonly kind: Kind;
  /** The reader; for the server the kind again. */
  readonly target: string;
  readonly bytes: Buffer;
}

export interface Fault extends Case {
  readonly message: string;
}

export function fileName({ kind, target, bytes }: Case): string {
  return `${kind}-${target}-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}`;
}

/** Keep a case. Returns its path. */
export async function keepCase(folder: string, one: Case): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, fileName(one));
  await writeFile(path, one.bytes);
  return path;
}

/** Throws OperatorError where the name is not that of a case. */
export async function readCase(path: string): Promise<Case> {
  const [, kind, target] = /^([a-z]+)-(.+)-[0-9a-f]{8}$/.exec(basename(path)) ?? [];
  const known = KINDS.find((name) => name === kind);
  if (known === undefined || target === undefined) throw new OperatorError(`${path}: is not the name of a case`);
  return { kind: known, target, bytes: await readFile(path) };
}

/** The cases of a folder, sorted by name. */
export async function readCases(folder: string): Promise<Case[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) =>
    KINDS.some((kind) => name.startsWith(`${kind}-`)),
  );
  return Promise.all(names.sort().map((name) => readCase(join(folder, name))));
}
