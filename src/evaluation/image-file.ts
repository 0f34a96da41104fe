/** Images of an evaluation, as files. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { ImageInput } from '../inference/infer.js';

export async function readImage(file: string): Promise<ImageInput> {
  return { name: basename(file), bytes: await readFile(file) };
}
