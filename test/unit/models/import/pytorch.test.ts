/** PyTorch's checkpoints: what they hold is what torch computed; nothing of them is executed. */
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { buildArchitecture, parametersOf } from '../../../../src/architectures/index.js';
import { OperatorError } from '../../../../src/errors.js';
import { convertPytorchFile } from '../../../../src/models/import/pytorch-file.js';
import { convert, expectedOutputs, fixture, importAndRun, inFolder, picture } from '../../../support/import.js';
import { relativeError } from '../../../support/ort.js';
import { zip } from '../../../support/zip.js';

const TOLERANCE = 1e-4;

/** The conversion without its thread, which takes a second to start. */
const here = (file: string) => inFolder((folder) => convertPytorchFile(file, folder, {}));

/** What the hostile fixtures would make if they were executed. */
const TRACE = '/tmp/fullconv-was-executed';
beforeEach(() => rm(TRACE, { force: true }));

const outputs = await expectedOutputs('pytorch/outputs.json');

describe.each(Object.entries(outputs))('%s', (name, { size, output }) => {
  it('computes what torch computes', async () => {
    const input = picture(size, (pixel) => pixel / 255 - 0.5);
    const { conversion, logits } = await importAndRun('pytorch', fixture(`pytorch/${name}`), input);
    expect(relativeError(logits, output)).toBeLessThan(TOLERANCE);
    expect(conversion.classes).toBe(output.length);
    const architecture = /^(vgg11_bn|vgg11)/.exec(name)?.[0] ?? 'resnet18';
    expect(conversion.model).toMatchObject({ architecture, options: { width: 2 } });
  });
});

describe('what a checkpoint says besides', () => {
  it('gives the names of the classes, by their index', async () => {
    const { labels, notes } = await convert('pytorch', fixture('pytorch/training.ckpt'));
    expect(labels?.map(({ label }) => label)).toEqual(['ant', 'cat', 'dog', 'eel', 'fox']);
    expect(notes.join(' ')).toMatch(/under "state_dict": resnet18, told from their names and shapes/);
  });

  it('names tensors of other modules, and a last layer that was replaced', async () => {
    const { notes, labels } = await convert('pytorch', fixture('pytorch/lightning-half.ckpt'));
    expect(notes.join(' ')).toContain('criterion.pos_weight');
    expect(notes.join(' ')).toContain('Its last layer is model._orig_mod.fc.1.');
    expect(labels).toBeUndefined();
  });

  it('gives the side of a VGG, which its first fully connected layer tells', async () => {
    const { input } = await convert('pytorch', fixture('pytorch/vgg11.pt'));
    expect(input).toEqual({ size: 64 });
  });
});

describe('what is refused', () => {
  it.each([
    [
      'whole-model.pt',
      /holds a whole Python object \(torch\.nn\.modules\.container\.Sequential\), .*torch\.onnx\.export/,
    ],
    ['torchscript.pt', /is a TorchScript program, which is not executed; .*torch\.onnx\.export/],
    ['unknown.pt', /tensors are those of no built-in architecture; they begin with "0\.weight", "0\.bias"; .*onnx/],
    ['resembling.pt', /resembles resnet18 \(100 % .*\), but it has "layer1\.0\.se\.fc\.weight" besides; .*onnx/],
    ['hostile.pkl', /is a pickle, but not one of torch\.save/],
  ])('%s', async (name, reason) => {
    await expect(convert('pytorch', fixture(`pytorch/${name}`))).rejects.toThrow(reason);
  });

  it('an architecture that is stated and is another', async () => {
    const file = fixture('pytorch/resnet18.pth');
    await expect(convert('pytorch', file, { architecture: 'resnet34' })).rejects.toThrow(
      /it is not resnet34: "layer1\.2\.conv1\.weight" is missing/,
    );
    await expect(convert('pytorch', file, { architecture: 'resnet19' })).rejects.toThrow('is not built in');
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a text', Buffer.from('once upon a time, there was a net')],
    ['an archive of something else', Buffer.from('504b0506000000000000000000000000000000000000', 'hex')],
    ['noise', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251))],
  ])('%s', async (_, bytes) => {
    await inFolder(async (folder) => {
      const file = join(folder, 'model.pth');
      await writeFile(file, bytes);
      await expect(convert('pytorch', file)).rejects.toThrow('is no checkpoint of PyTorch');
    });
  });
});

/** A checkpoint of SqueezeNet whose tensors are all views of one storage of 8 numbers. */
function checkpoint({ strides = '', storage = true, deflated = false, flags = 0 }): Buffer {
  const tensors = parametersOf(buildArchitecture('squeezenet1_1')).map(({ name, dims }) => {
    const tuple = (sizes: readonly unknown[]): string => `(${sizes.map((size) => `I${String(size)}\n`).join('')}t`;
    const own = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, size) => product * size, 1));
    const view = `I0\n${tuple(dims)}${tuple(strides === '' ? own : dims.map(() => strides))}I00\nN`;
    return `V${name}\nctorch._utils\n_rebuild_tensor_v2\n((S"storage"\nctorch\nFloatStorage\nV0\nS"cpu"\nI8\ntQ${view}tR`;
  });
  const data = Buffer.from(`(${tensors.join('')}d.`);
  const storages = storage ? [{ name: 'net/data/0', data: Buffer.alloc(32), deflated, flags }] : [];
  return zip([{ name: 'net/data.pkl', data }, ...storages]);
}

describe('hostile files', () => {
  it.each([
    [
      'tensors larger than their storage',
      checkpoint({}),
      /tensor "features\.0\.weight": \[64, 3, 3, 3\] does not lie inside its storage of 8 elements/,
    ],
    ['one number as a million', checkpoint({ strides: '0' }), /does not lie inside its storage of 8 elements/],
    ['strides beyond all numbers', checkpoint({ strides: '9007199254740991' }), /does not lie inside its storage/],
    ['a storage that there is not', checkpoint({ storage: false }), /storage 0: is missing in the archive/],
    ['a compressed storage', checkpoint({ deflated: true }), /is compressed, which torch\.save never does/],
    ['an encrypted archive', checkpoint({ flags: 1 }), /is an encrypted zip archive/],
  ])('%s', async (_, bytes, reason) => {
    await inFolder(async (folder) => {
      const file = join(folder, 'model.pt');
      await writeFile(file, bytes);
      await expect(here(file)).rejects.toThrow(reason);
    });
  });

  it('an object that would run a command is left out, and nothing is run', async () => {
    const { model } = await convert('pytorch', fixture('pytorch/hostile.pt'));
    expect(model.architecture).toBe('resnet18');
    await expect(access(TRACE)).rejects.toThrow('ENOENT');
  });

  it.each(['resnet18.pth', 'resnet18-legacy.pt'])('%s, damaged: nothing but errors for operators', async (name) => {
    const bytes = await readFile(fixture(`pytorch/${name}`));
    await inFolder(async (folder) => {
      const file = join(folder, name);
      for (let round = 0; round < 20; round += 1) {
        // Names and sizes stand in the first part of the file.
        const at = Math.floor((round < 10 ? bytes.length : 12_000) * (((round % 10) + 0.5) / 10));
        const changed = Buffer.from(bytes);
        for (let i = 0; i < 4; i += 1) changed[(at + i * 37) % bytes.length]! ^= 1 << (round % 8);
        for (const damaged of [bytes.subarray(0, at), changed]) {
          await writeFile(file, damaged);
          await here(file).catch((error: unknown) => expect(error).toBeInstanceOf(OperatorError));
        }
      }
    });
  });
});
