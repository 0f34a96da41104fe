/**
 * JSON files, hostile until proven otherwise: of bounded size, without duplicate keys, and matching their schema. A schema
 * sees no more values than json-limits.ts allows.
 */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { readModelFile } from './file-access.js';
import { duplicateKey } from './json-keys.js';
import { excessOf } from './json-limits.js';
import { ModelFileError } from './model-file-error.js';

/** Limit in bytes for a description of a model; those of published models have some kilobytes. */
export const MAX_MANIFEST_BYTES = 2 ** 20;

/** Limit in bytes for any other JSON file; the largest of published models have one to two megabytes. */
const MAX_BYTES = 2 ** 24;

export interface JsonFile<T> {
  readonly value: T;
  /** sha256 of the file, hexadecimal. */
  readonly digest: string;
}

/** Read and check a file. Throws ModelFileError naming the file and the field. */
export async function readJson<T>(file: string, schema: z.ZodType<T>, maxBytes = MAX_BYTES): Promise<JsonFile<T>> {
  const bytes = await readModelFile(file, maxBytes);
  const excess = excessOf(bytes);
  if (excess !== undefined) throw new ModelFileError(file, 'file', excess);
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
