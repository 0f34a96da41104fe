import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBuiltIn } from '../../../../src/models/networks/built-in.js';
import { readModelFolder, type Manifest } from '../../../../src/models/manifest.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { writeSafetensors } from '../../../../src/models/files/safetensors.js';
import { writeManifest } from '../../../support/tiny-models.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-built-in-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('loadBuiltIn', () => {
  /** A model folder whose weights file has the given content, loaded. */
  async function load(architecture: Manifest['architecture'], file: string, content = ''): Promise<unknown> {
    const folder = await writeManifest(root, { name: `${architecture}-${file}`, architecture, weights: { file } });
    await writeFile(join(folder, file), content);
    return loadBuiltIn(await readModelFolder(folder), join(root, 'cache'));
  }

  it.each<[Manifest['architecture'], string, string]>([
    [
      'resnet50',
      'w.h5',
      'model.json: architecture: has no weights in Keras; these architectures have: vgg16, vgg19, resnet50_v1',
    ],
    ['vgg16', 'w.keras', "w.keras: file: is Keras 3's own format; save the net with model.save('model.h5')"],
    [
      'vgg16',
      'w.safetensors',
      'w.safetensors: file: is empty (0 bytes), and not a safetensors file; copy or download it again',
    ],
  ])('refuses for %s the file %s, and says why', async (architecture, file, message) => {
    await expect(load(architecture, file)).rejects.toThrow(ModelFileError);
    await expect(load(architecture, file)).rejects.toThrow(message);
  });

  it('says that there is no weights file', async () => {
    const folder = await writeManifest(root, { name: 'none', architecture: 'vgg11', weights: { file: 'none.h5' } });
    await expect(loadBuiltIn(await readModelFolder(folder), root)).rejects.toThrow('none.h5: file: cannot be read');
  });

  it('shows how a file begins whose names it does not know', async () => {
    const folder = await writeManifest(root, { name: 'odd', architecture: 'resnet18', weights: { file: 'w' } });
    const values = (): Float32Array => new Float32Array(1);
    await writeSafetensors(join(folder, 'w'), [{ name: 'layers.0', dims: [1], values }]);
    await expect(loadBuiltIn(await readModelFolder(folder), root)).rejects.toThrow(
      'w: tensor "conv1.weight": is missing (no known names); the file begins with "layers.0"',
    );
  });
});
