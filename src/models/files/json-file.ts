/** JSON files, hostile until proven otherwise: of bounded size, without duplicate keys, and matching their schema. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { z } from 'zod';
import { duplicateKey } from './json-keys.js';
import { ModelFileError } from './model-file-error.js';

/** The largest JSON files of published models have one to two megabytes. */
const MAX_BYTES = 64_000_000;

export interface JsonFile<T> {
  readonly value: T;
  /** sha256 of the file, hexadecimal. */
  readonly digest: string;
}

/** Read and check a file. Throws ModelFileError naming the file and the field. */
export async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<JsonFile<T>> {
  const bytes = await readBounded(file);
  let json: unknown;
  let text: string;
  try {
    text = new TextDecoder().decode(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(file, 'file', 'is not JSON', { cause });
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw new ModelFileError(file, duplicate, 'is given twice');
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data, digest: createHash('sha256').update(bytes).digest('hex') };
  const [issue] = result.error.issues;
  throw new ModelFileError(file, issue?.path.join('.') ?? '', issue?.message ?? 'is invalid');
}

async function readBounded(file: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) throw new ModelFileError(file, 'file', `has ${size} bytes; at most ${MAX_BYTES} are allowed`);
    return await readFile(file);
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError(file, 'file', 'cannot be read', { cause });
  }
}
