/** What files are told to be, by their bytes alone. Real files of other libraries are in test/e2e/import.test.ts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../../../src/graph/onnx/model.js';
import { kindOfFile } from '../../../../src/models/files/file-kind.js';
import { readOnnxFile } from '../../../../src/models/files/onnx-file.js';
import { readSafetensors, writeSafetensors } from '../../../../src/models/files/safetensors.js';
import { HEADS, tinyClassifier } from '../../../support/tiny-classifiers.js';
import { noise } from '../../../support/wrong-models.js';
import { WRONG_MODELS } from '../../../support/wrong-models.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-kinds-'));
});
afterAll(() => rm(root, { recursive: true }));

async function kindOf(bytes: Uint8Array): Promise<string> {
  const file = join(root, 'file');
  await writeFile(file, bytes);
  const { name, isCut } = await kindOfFile(file);
  return isCut ? `${name}, cut` : name;
}

describe('a file is told to be', () => {
  it.each(WRONG_MODELS)('$kind: $name', async ({ bytes, kind }) => {
    expect(await kindOf(bytes)).toBe(kind);
  });

  it('an ONNX model, whole or cut off wherever that may be', async () => {
    const model = writeOnnx(tinyClassifier(HEADS[0]!));
    expect(await kindOf(model)).toBe('onnx');
    for (let length = 40; length < model.length; length += 97) {
      expect(await kindOf(model.subarray(0, length))).toMatch(/^onnx, cut$|^onnx$/);
    }
    expect(await kindOf(model.subarray(0, -1))).toBe('onnx, cut');
  });

  it('a safetensors file, whole or cut off in its header', async () => {
    const file = join(root, 'whole.safetensors');
    await writeSafetensors(file, [{ name: 'a', dims: [2], values: () => new Float32Array(2) }]);
    expect(await kindOfFile(file)).toMatchObject({ name: 'safetensors', isCut: false });
    const { readFile } = await import('node:fs/promises');
    expect(await kindOf((await readFile(file)).subarray(0, 40))).toBe('safetensors, cut');
  });

  it('in no known format, of random bytes', async () => {
    for (let seed = 1; seed <= 20; seed += 1) expect(await kindOf(noise(20_000, seed))).toBe('unknown');
  });
});

describe('a reader of another format says what the file is, and nothing of what it met inside', () => {
  it.each(WRONG_MODELS)('$name', async ({ bytes, words }) => {
    const file = join(root, 'wrong');
    await writeFile(file, bytes);
    for (const read of [readSafetensors, readOnnxFile]) {
      const error = (await read(file).catch((thrown: unknown) => thrown)) as Error;
      expect(error.message).toMatch(words);
      expect(error.message).not.toMatch(/illegal tag|wire type|header length|varint|undefined/i);
    }
  });
});
