/** Files of models that would block their reader, never end, or cost more memory than there is. */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../../../src/graph/onnx/model.js';
import { loadNetwork } from '../../../../src/models/compile.js';
import { readJson } from '../../../../src/models/files/json-file.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { readSafetensors } from '../../../../src/models/files/safetensors.js';
import { labelsSchema, readModelFolder } from '../../../../src/models/manifest.js';
import { findModelFolders } from '../../../../src/models/model-folders.js';
import { HEADS, TINY, tinyClassifier } from '../../../support/tiny-classifiers.js';
import { writeManifest, writeOnnxModel, writeTinyModel } from '../../../support/tiny-models.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-hostile-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const load = async (folder: string) => loadNetwork(await readModelFolder(folder), root);

const KINDS: readonly [string, (path: string) => unknown][] = [
  ['a pipe', (path) => execFileSync('mkfifo', [path])],
  ['a device', (path) => symlink('/dev/zero', path)],
  ['a folder', (path) => mkdir(path)],
];

describe.each(KINDS)('%s in the place of', (kind, make) => {
  /** Replace a file of a model folder, and load the model. */
  async function refuse(folder: string, name: string): Promise<void> {
    await rm(join(folder, name), { force: true });
    await make(join(folder, name));
    const error: unknown = await load(folder).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ModelFileError);
    const { message } = error as Error;
    expect(message).toContain(`${join(folder, name)}: file: `);
    // A device stands outside of the folder, which is found out first.
    expect(message).toMatch(new RegExp(`is ${kind}, not a regular file$|through a symbolic link$`));
  }

  it.each(['model.json', 'labels.json', 'model.safetensors'])('%s is refused at once', async (name) => {
    await writeTinyModel(root, 'tiny-resnet');
    await refuse(join(root, 'tiny-resnet'), name);
  });

  it('an ONNX file, and its external weights', async () => {
    const graph = tinyClassifier(HEADS[0]!);
    await refuse(await writeOnnxModel(root, 'inline', writeOnnx(graph), TINY), 'model.onnx');
    const initializers = new Map(
      [...graph.initializers].map(([name, tensor]) => {
        if (tensor.data.kind !== 'inline') throw new Error('not inline');
        const data = { kind: 'external', file: 'weights.bin', offset: 0, length: tensor.data.bytes.length } as const;
        return [name, { ...tensor, data }];
      }),
    );
    const external = await writeOnnxModel(root, 'external', writeOnnx({ ...graph, initializers }), TINY);
    await refuse(external, 'weights.bin');
  });

  it('the JSON file and the weights of a LayersModel', async () => {
    const manifest = { architecture: 'tfjs-layers', weights: { file: 'net.json' } } as const;
    await refuse(await writeManifest(root, { name: 'json', ...manifest }), 'net.json');
    const folder = await writeManifest(root, { name: 'shards', ...manifest });
    const weights = [{ name: 'w', shape: [1], dtype: 'float32' }];
    const json = { modelTopology: {}, weightsManifest: [{ paths: ['w.bin'], weights }] };
    await writeFile(join(folder, 'net.json'), JSON.stringify(json));
    await refuse(folder, 'w.bin');
  });

  it('an HDF5 file', async () => {
    const folder = await writeManifest(root, {
      name: 'keras',
      architecture: 'resnet50_v1',
      weights: { file: 'weights.h5' },
    });
    await refuse(folder, 'weights.h5');
  });

  it('a manifest makes a model that cannot be loaded, not none', async () => {
    await mkdir(join(root, 'odd'));
    await make(join(root, 'odd', 'model.json'));
    expect([...(await findModelFolders(root)).keys()]).toEqual(['odd']);
  });
});

describe('a JSON file is refused before anything is made of it where it', () => {
  const refuse = async (text: string): Promise<unknown> => {
    await writeFile(join(root, 'labels.json'), text);
    return readJson(join(root, 'labels.json'), labelsSchema).catch((thrown: unknown) => thrown);
  };

  it.each<[string, string, string]>([
    ['has millions of empty objects', `[${'{},'.repeat(3e6)}{}]`, 'has more than 500000 values'],
    ['has millions of numbers', `[${'1,'.repeat(3e6)}1]`, 'has more than 500000 values'],
    ['is a list of lists of lists', '['.repeat(1e6), 'has more than 100 objects and lists inside of one another'],
    ['is too large', `["${'a'.repeat(2 ** 24)}"]`, `has ${2 ** 24 + 4} bytes; at most ${2 ** 24} are allowed`],
  ])('%s', async (_, text, detail) => {
    expect(await refuse(text)).toMatchObject({ field: 'file', detail });
  });

  it('and is not where brackets and commas stand in a text', async () => {
    const label = `${'[{,'.repeat(200_000)} and a quote: ", and \\`;
    await writeFile(join(root, 'labels.json'), JSON.stringify([{ id: 'a', label }]));
    const { value } = await readJson(join(root, 'labels.json'), labelsSchema);
    expect(value).toEqual([{ id: 'a', label }]);
  });

  it('has 100,000 labels, which is not too much', async () => {
    const labels = Array.from({ length: 100_000 }, (_, index) => ({ id: `${index}`, label: `thing, number ${index}` }));
    await writeFile(join(root, 'labels.json'), JSON.stringify(labels));
    expect((await readJson(join(root, 'labels.json'), labelsSchema)).value).toHaveLength(100_000);
  });

  it('is a manifest of more than a megabyte', async () => {
    await writeTinyModel(root, 'tiny-vgg');
    await truncate(join(root, 'tiny-vgg', 'model.json'), 2 ** 20 + 1);
    await expect(readModelFolder(join(root, 'tiny-vgg'))).rejects.toThrow('at most 1048576 are allowed');
  });
});

it('the header of a safetensors file is refused with too many values', async () => {
  const header = Buffer.from(`{"a":[${'[],'.repeat(600_000)}[]]}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(join(root, 'net.safetensors'), Buffer.concat([length, header]));
  await expect(readSafetensors(join(root, 'net.safetensors'))).rejects.toThrow('header: has more than 500000 values');
});

it('weights that change while they are loaded are refused, or were read whole before or after', async () => {
  await writeTinyModel(root, 'tiny-vgg');
  const folder = join(root, 'tiny-vgg');
  const file = join(folder, 'model.safetensors');
  const bytes = await readFile(file);
  const versions = [bytes, ...[0, 1].map((last) => bytes.with(bytes.length - 1, last))];
  const digests = versions.map((version) => createHash('sha256').update(version).digest('hex'));
  const content = await readModelFolder(folder);
  let refusal: unknown;
  // A load may find a quiet moment.
  for (let loads = 0; loads < 50 && refusal === undefined; loads++) {
    const over = new AbortController();
    const loading = loadNetwork(content, root).finally(() => over.abort());
    const ended = loading.then(
      ({ fileDigest }) => expect(digests).toContain(fileDigest),
      (error: unknown) => (refusal = error),
    );
    for (let last = 0; !over.signal.aborted; last ^= 1) await writeFile(file, versions[last + 1]!);
    await ended;
  }
  expect(refusal).toMatchObject({
    message: expect.stringMatching(
      /changed while it was read|was rewritten on disk|ended while|has only|lies outside|is empty|cut off|is damaged/,
    ) as string,
  });
});
