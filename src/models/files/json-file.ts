/**
 * JSON files, hostile until proven otherwise: of bounded size, without duplicate keys, and matching their schema. A schema
 * sees no more values than json-limits.ts allows.
 */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { readModelFile } from './file-access.js';
import { kindOfFile } from './file-kind.js';
import { FILE_KINDS } from './file-kinds.js';
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

/** Faults that one message names; a file with more of them is not mended by hand. */
const MAX_FAULTS = 20;

/** Read and check a file. Throws ModelFileError naming the file and all faulty fields. */
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
    throw new ModelFileError(file, 'file', await whyNoJson(file, cause), { cause });
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw new ModelFileError(file, duplicate, 'is given twice');
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data, digest: createHash('sha256').update(bytes).digest('hex') };
  throw faultsOf(file, result.error.issues);
}

/** What a file is that is not JSON, or where its text ends to be JSON. */
async function whyNoJson(file: string, cause: unknown): Promise<string> {
  const { name } = await kindOfFile(file);
  if (!['json', 'tfjs-json', 'text'].includes(name)) return `is not JSON, but ${FILE_KINDS[name].what}`;
  const [, position] = /at position (\d+)/.exec(cause instanceof Error ? cause.message : '') ?? [];
  return position === undefined ? 'is not JSON' : `is not JSON from character ${position} on`;
}

/** One error for all faults: it has the first one's field, and names the others behind it. */
function faultsOf(file: string, issues: readonly z.core.$ZodIssue[]): ModelFileError {
  const faults = issues.slice(0, MAX_FAULTS).map((issue) => ({
    field: issue.path.join('.') || 'file',
    detail: inWords(issue),
  }));
  const [first, ...others] = faults;
  const more = issues.length > MAX_FAULTS ? [`and ${issues.length - MAX_FAULTS} more`] : [];
  const rest = [...others.map(({ field, detail }) => `${field}: ${detail}`), ...more];
  return new ModelFileError(file, first?.field ?? 'file', [first?.detail ?? 'is invalid', ...rest].join('; '));
}

/** zod's message, but for fields that are not there at all. */
function inWords({ message }: z.core.$ZodIssue): string {
  const [, expected] = /^Invalid input: expected (.+), received undefined$/.exec(message) ?? [];
  return expected === undefined ? message : `is missing (${expected})`;
}
