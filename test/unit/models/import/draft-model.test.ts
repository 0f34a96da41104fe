/** Drafts in this process: what a source says of itself, and files that somebody has damaged. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../../src/errors.js';
import { draftModel, type Draft, type DraftOptions } from '../../../../src/models/import/draft-model.js';
import { sourceAt } from '../../../../src/models/import/recognize.js';
import { generatedUniform } from '../../../../src/models/networks/generated-weights.js';
import { save, tfl, withGeneratedWeights, type LayersModel } from '../../../support/tfjs.js';
import { zip } from '../../../support/wrong-models.js';

const fixture = (...parts: string[]): string =>
  join(fileURLToPath(new URL('../../../fixtures/import', import.meta.url)), ...parts);

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-draft-'));
});
afterAll(() => rm(root, { recursive: true }));

async function draft(path: string, options: Partial<DraftOptions> = {}): Promise<Draft> {
  const folder = await mkdtemp(join(root, 'draft-'));
  return draftModel(await sourceAt(path), folder, { name: 'drafted', input: {}, ...options });
}

/** A LayersModel's folder as TensorFlow.js writes it. */
async function writeLayers(name: string, model: LayersModel): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  const { json, files } = await save(withGeneratedWeights(model), { shardBytes: 400 });
  await writeFile(join(folder, 'model.json'), JSON.stringify(json));
  for (const [file, bytes] of files) await writeFile(join(folder, file), bytes);
  return folder;
}

describe('a LayersModel', () => {
  const net = (name: string, first: tfl.layers.Layer[]): LayersModel =>
    tfl.sequential({
      name,
      layers: [
        ...first,
        tfl.layers.conv2d({ filters: 4, kernelSize: 3, name: 'conv', inputShape: [20, 20, 3] }),
        tfl.layers.globalAveragePooling2d({ name: 'pool' }),
        tfl.layers.dense({ units: 6, activation: 'softmax', name: 'top' }),
      ],
    });

  it('that rescales pixels itself gets them as they are', async () => {
    const rescaling = tfl.layers.rescaling({
      scale: 1 / 127.5,
      offset: -1,
      inputShape: [20, 20, 3],
      name: 'rescaling',
    });
    const { manifest, labels, guessed } = await draft(await writeLayers('rescaled', net('mine', [rescaling])));
    expect(manifest.input).toMatchObject({ size: 20, resize: 20, range: 1, mean: [0, 0, 0], std: [1, 1, 1] });
    expect(guessed).not.toContain('range');
    expect(labels).toHaveLength(6);
  });

  it('that does not gets numbers from 0 to 1, as a guess', async () => {
    const { manifest, guessed, guessedBecause } = await draft(await writeLayers('plain', net('mine', [])));
    expect(manifest.input).toMatchObject({ range: 255, mean: [0, 0, 0], std: [1, 1, 1] });
    expect(guessed).toEqual(expect.arrayContaining(['range', 'mean', 'std']));
    expect(guessedBecause).toMatch(/often take numbers from 0 to 1/);
  });
});

describe('labels', () => {
  it("are ImageNet's where somebody says so, and refused where the net has other classes", async () => {
    await expect(draft(fixture('described'), { labels: 'imagenet' })).rejects.toThrow(
      '--labels imagenet: has 1000 names, but the net has 5 classes',
    );
  });

  it('leave out the background where the net does not have it, and are left out where they do not fit', async () => {
    const folder = join(root, 'labelled');
    await cp(fixture('normalizing'), folder, { recursive: true });
    await writeFile(join(folder, 'labels.txt'), 'background\na\nb\nc\nd\ne\n');
    const { labels, labelsFrom } = await draft(folder);
    expect([labelsFrom, labels.map(({ label }) => label)]).toEqual(['labels.txt', ['a', 'b', 'c', 'd', 'e']]);
    await writeFile(join(folder, 'labels.txt'), 'a\nb\n');
    const { notes, labelsFrom: nowhere } = await draft(folder);
    expect(nowhere).toBeUndefined();
    expect(notes).toContain('labels.txt has 2 names, but the net has 5 classes: it is left out');
  });

  it('of a folder of Hugging Face count for an ONNX file in it, with its preprocessing', async () => {
    const folder = join(root, 'optimum');
    await mkdir(join(folder, 'onnx'), { recursive: true });
    await cp(fixture('normalizing', 'normalizing.onnx'), join(folder, 'onnx', 'model.onnx'));
    for (const name of ['config.json', 'preprocessor_config.json'])
      await cp(fixture('hf-resnet', name), join(folder, name));
    const { labels, manifest } = await draft(folder);
    expect(labels.map(({ label }) => label)).toEqual(['tench', 'goldfish', 'great white shark', 'cock', 'hen']);
    expect(manifest.input).toMatchObject({ mean: [0.5, 0.4, 0.3], range: 255 });
    const squashing = { size: { height: 80, width: 80 }, do_center_crop: true, crop_size: 64 };
    await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify(squashing));
    expect((await draft(folder)).notes).toContainEqual(expect.stringMatching(/^its own processor squashes/));
  });
});

describe('a source that is damaged', () => {
  /** The files of a source in memory, by their names in its folder. */
  async function filesOf(folder: string): Promise<[name: string, bytes: Buffer][]> {
    const names = await readdir(folder);
    return Promise.all(
      names.map(async (name): Promise<[string, Buffer]> => [name, await readFile(join(folder, name))]),
    );
  }

  it.each<[string, number, () => Promise<[string, Buffer][]>]>([
    ['an ONNX file', 400, () => filesOf(fixture('described'))],
    ['an ONNX file with other files', 200, () => filesOf(fixture('external'))],
    ['a folder of Hugging Face', 200, () => filesOf(fixture('hf-resnet'))],
    [
      'a LayersModel',
      200,
      async () =>
        filesOf(
          await writeLayers(
            'to-be-damaged',
            tfl.sequential({ layers: [tfl.layers.flatten({ inputShape: [8, 8, 3] }), tfl.layers.dense({ units: 2 })] }),
          ),
        ),
    ],
    [
      'an archive',
      200,
      async () => {
        const files = await filesOf(fixture('external'));
        return [['a.zip', zip(files.map(([name, bytes]) => ({ name, bytes, isDeflated: true })))]];
      },
    ],
  ])('%s is drafted or refused, and nothing else', async (name, times, make) => {
    const files = await make();
    let refused = 0;
    for (let seed = 0; seed < times; seed += 1) {
      const folder = await mkdtemp(join(root, 'damaged-'));
      const [which = 0, cut = 0, ...random] = Array.from(generatedUniform(`${name} ${seed}`, 20), (u) => (u + 1) / 2);
      for (const [index, [file, bytes]] of files.entries()) {
        const damaged = Buffer.from(bytes);
        if (index === Math.floor(which * files.length)) {
          for (let i = 0; i <= seed % 6; i += 1) {
            damaged[Math.floor(random[2 * i]! * damaged.length)] = Math.floor(random[2 * i + 1]! * 256);
          }
        }
        const isCut = index === Math.floor(which * files.length) && seed % 5 === 4;
        await writeFile(join(folder, file), damaged.subarray(0, isCut ? Math.floor(cut * damaged.length) : undefined));
      }
      try {
        await draft(folder);
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error;
        refused += 1;
      }
      await rm(folder, { recursive: true });
    }
    expect(refused).toBeGreaterThan(times / 20);
  });
});
