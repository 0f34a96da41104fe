/** What cannot be imported is said in a sentence that a person understands. What can be is in test/e2e/import.test.ts. */
import { cp, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { draftModel } from '../../../../src/models/import/draft-model.js';
import { nameOf, sourceAt } from '../../../../src/models/import/recognize.js';
import { WRONG_MODELS, zip } from '../../../support/wrong-models.js';

const ONNX = fileURLToPath(new URL('../../../fixtures/import/described/described.onnx', import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-recognize-'));
});
afterAll(() => rm(root, { recursive: true }));

/** The message for what lies at a path, up to a draft. */
async function refusalOf(path: string): Promise<string> {
  const folder = await mkdtemp(join(root, 'draft-'));
  try {
    await draftModel(await sourceAt(path), folder, { name: 'wrong', input: {} });
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it was imported');
}

describe('a file is refused for what it is, whatever it is called', () => {
  it.each(WRONG_MODELS.filter(({ kind }) => !/^torch-(zip|legacy)|^keras-zip/.test(kind)))(
    '$name',
    async ({ bytes, words }) => {
      const file = join(root, 'wrong.onnx');
      await writeFile(file, bytes);
      const message = await refusalOf(file);
      expect(message).toMatch(words);
      expect(message).not.toMatch(/illegal tag|wire type|header length|undefined/i);
    },
  );
});

it.each([
  ['my net.tflite', 'a TensorFlow Lite model', "--tflite 'my net.tflite' --output model.onnx"],
  ["it's.pb", 'a frozen graph', String.raw`--graphdef 'it'\''s.pb' --inputs`],
  ['net.xml', "OpenVINO's topology", 'openvino2onnx net.xml '],
])('the command that converts %s has its name, as a word of a shell', async (name, what, command) => {
  const file = join(root, name);
  await writeFile(file, WRONG_MODELS.find((model) => model.name === what)!.bytes);
  expect(await refusalOf(file)).toContain(command);
});

describe('a folder is refused for what is in it:', () => {
  it.each<[string, (folder: string) => Promise<unknown>, RegExp]>([
    [
      'a SavedModel',
      (folder) => writeFile(join(folder, 'saved_model.pb'), 'x'),
      /SavedModel.*tf2onnx\.convert --saved-model [-\w]+ --output/,
    ],
    [
      'a folder without models',
      (folder) => writeFile(join(folder, 'notes.txt'), 'x'),
      /without a file that could be a model/,
    ],
    [
      'OpenVINO’s two files',
      async (folder) => {
        await writeFile(join(folder, 'net.xml'), '<?xml version="1.0"?><net name="a" version="11"></net>');
        await writeFile(join(folder, 'net.bin'), 'x'.repeat(100));
      },
      /OpenVINO/,
    ],
    [
      'two models',
      async (folder) => {
        for (const name of ['a.onnx', 'b.onnx']) await cp(ONNX, join(folder, name));
      },
      /holds 2 models \(a\.onnx, b\.onnx\); name one of them/,
    ],
    [
      'an ONNX file that is cut off',
      async (folder) => {
        await cp(ONNX, join(folder, 'a.onnx'));
        await truncate(join(folder, 'a.onnx'), 700);
      },
      /a\.onnx, which is an ONNX model that is cut off after 700 bytes; copy or download it again/,
    ],
    [
      'a Core ML package',
      async (folder) => {
        await mkdir(join(folder, 'net.mlpackage'));
        await writeFile(join(folder, 'net.mlpackage', 'Manifest.json'), '{}');
      },
      /is a Core ML model/,
    ],
    [
      'a zip archive of a TensorFlow Lite model',
      (folder) =>
        writeFile(join(folder, 'a.zip'), zip([{ name: 'a.tflite', bytes: WRONG_MODELS[0]!.bytes, isDeflated: true }])),
      /a\.zip: file: is a zip archive whose content holds a\.tflite, which is a TensorFlow Lite model/,
    ],
    [
      'a zip archive that leads out of its folder',
      (folder) => writeFile(join(folder, 'a.zip'), zip([{ name: '../a.onnx', bytes: Buffer.alloc(10) }])),
      /leads out of the archive/,
    ],
    [
      'a zip archive that says less than it has',
      async (folder) => {
        const bytes = zip([{ name: 'a.onnx', bytes: Buffer.alloc(100_000), isDeflated: true }]);
        const at = bytes.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
        bytes.writeUInt32LE(10, at + 24);
        await writeFile(join(folder, 'a.zip'), bytes);
      },
      /does not have the 10 bytes that the list says/,
    ],
  ])('%s', async (_, make, words) => {
    const folder = await mkdtemp(join(root, 'wrong-'));
    await make(folder);
    expect(await refusalOf(folder)).toMatch(words);
  });
});

describe('a model has the name', () => {
  it.each([
    ['/a/flowers.onnx', 'flowers'],
    ['/a/Meine Blumen (2).onnx', 'Meine-Blumen-2'],
    ['/a/flowers/model.onnx', 'flowers'],
    ['/a/flowers/onnx/model_quantized.onnx', 'flowers'],
    ['/a/flowers/web_model/model.json', 'flowers'],
    ['/a/resnet-18/config.json', 'resnet-18'],
    ['/a/v1.2.onnx', 'v1.2'],
    ['/a/../../x/最.onnx', 'x'],
    ['/model.onnx', 'imported'],
    ['/hub/models--microsoft--resnet-18/snapshots/c6a4e3/config.json', 'resnet-18'],
    ['/hub/models--timm--resnet18.a1_in1k/snapshots/c6a4e3/config.json', 'resnet18.a1_in1k'],
  ])('of its file or folder: %s', (path, name) => {
    expect(nameOf(path)).toBe(name);
  });
});
