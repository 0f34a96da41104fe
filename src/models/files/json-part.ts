/** JSON inside of other files, hostile until proven otherwise: of bounded size and depth, and without duplicate keys. */
import { duplicateKey } from './json-keys.js';
import { excessOf } from './json-limits.js';
import { ModelFileError } from './model-file-error.js';

/** The value of a text in UTF-8 that stands in the part `field` of a file. Throws ModelFileError. */
export function parseJsonPart(file: string, field: string, bytes: Uint8Array): unknown {
  const excess = excessOf(bytes);
  if (excess !== undefined) throw new ModelFileError(file, field, excess);
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder().decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(file, field, 'is not JSON', { cause });
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw new ModelFileError(file, field, `"${duplicate.slice(0, 80)}" is given twice`);
  return value;
}
