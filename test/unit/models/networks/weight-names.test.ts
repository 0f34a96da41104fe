/** Files with the names of other libraries: what these libraries call their tensors, and what their nets compute. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildArchitecture,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../../src/architectures/index.js';
import { byteSize } from '../../../../src/graph/constants.js';
import { applyPasses } from '../../../../src/graph/pass.js';
import { addImageInput } from '../../../../src/graph/passes/add-image-input.js';
import { bindWeights, type StoredTensor } from '../../../../src/graph/passes/bind-weights.js';
import { generatedValues } from '../../../../src/models/networks/generated-weights.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { readSafetensors, writeSafetensors } from '../../../../src/models/files/safetensors.js';
import { fractalNetPytorchcvNames } from '../../../../src/models/networks/fractalnet-pytorchcv-names.js';
import { findNaming } from '../../../../src/models/networks/weight-names.js';
import { IMAGENET } from '../../../support/bound.js';
import { randomImage, relativeError, runGraph } from '../../../support/ort.js';

type Shapes = Readonly<Record<string, readonly number[]>>;

async function readFixture(name: string): Promise<unknown> {
  return JSON.parse(await readFile(new URL(`../../../fixtures/weight-names/${name}.json`, import.meta.url), 'utf8'));
}

/** The tensors as a header would have them; where they lie does not matter to names and shapes. */
function stored(shapes: Shapes): Map<string, StoredTensor> {
  return new Map(
    Object.entries(shapes).map(([name, dims]) => [
      name,
      { dataType: 'float32', dims, offset: 0, length: byteSize('float32', dims) },
    ]),
  );
}

function bind(architecture: ArchitectureName, tensors: ReadonlyMap<string, StoredTensor>, options = {}) {
  const built = buildArchitecture(architecture, options);
  const parameters = parametersOf(built).map(({ name }) => name);
  const { owner, nameOf } = findNaming('m.safetensors', parameters, tensors);
  return {
    owner,
    names: parameters.map(nameOf),
    graph: applyPasses(built, [bindWeights({ file: 'm.safetensors', tensors, nameOf })]),
  };
}

describe("pytorchcv's FractalNet", () => {
  it('has names by unit, level and column for the convolutions that are counted by column here', () => {
    const parameters = parametersOf(buildArchitecture('fractalnet20_cifar_pytorchcv')).map(({ name }) => name);
    const nameOf = fractalNetPytorchcvNames(parameters);
    // Three columns: in a unit the longest has four levels, the next ends at 2 and 4, the shortest at 4.
    expect(
      ['conv2_0.weight', 'conv2_5.weight', 'conv1_3.weight', 'batch_conv0_4.running_var', 'prediction0.bias'].map(
        nameOf,
      ),
    ).toEqual([
      'features.unit1.block.blocks.block1.subblock1.conv.weight',
      'features.unit2.block.blocks.block2.subblock1.conv.weight',
      'features.unit2.block.blocks.block4.subblock2.conv.weight',
      'features.unit5.block.blocks.block4.subblock3.bn.running_var',
      'output.bias',
    ]);
    expect(new Set(parameters.map(nameOf)).size).toBe(parameters.length);
  });
});

/** What lies in files and is no part of a net that only classifies. */
const UNUSED = /num_batches_tracked$|^AuxLogits\.|^aux[12]\./;

describe.each<[string, ArchitectureName, string]>([
  ['timm-vgg11', 'vgg11', "timm's VGG"],
  ['timm-vgg16_bn', 'vgg16_bn', "timm's VGG"],
  ['timm-resnet18', 'resnet18', "the architecture's own"],
  ['timm-resnet50', 'resnet50', "the architecture's own"],
  ['timm-resnext50_32x4d', 'resnext50_32x4d', "the architecture's own"],
  ['timm-wide_resnet50_2', 'wide_resnet50_2', "the architecture's own"],
  ['timm-densenet121', 'densenet121', "the architecture's own"],
  ['timm-inception_v3', 'inception_v3', "the architecture's own"],
  ['timm-resnetv2_50', 'preresnet50', "the architecture's own"],
  ['torchvision-googlenet', 'googlenet', "the architecture's own"],
  ['torchvision-squeezenet1_1', 'squeezenet1_1', "the architecture's own"],
  ['torchvision-resnet18-data-parallel', 'resnet18', 'the architecture\'s own after "module."'],
  ['efficientnet_lite_pytorch-lite0', 'tf_efficientnet_lite0', "efficientnet_pytorch's EfficientNet"],
  ['efficientnet_lite_pytorch-lite2', 'tf_efficientnet_lite2', "efficientnet_pytorch's EfficientNet"],
  ['transformers-resnet-18', 'resnet18', "Hugging Face's ResNet"],
  ['transformers-resnet-50', 'resnet50', "Hugging Face's ResNet"],
])('the tensors of %s', (fixture, architecture, owner) => {
  it('are all bound, each by its name', async () => {
    const { tensors } = (await readFixture(fixture)) as { tensors: Shapes };
    const bound = bind(architecture, stored(tensors));
    expect(bound.owner).toBe(owner);
    expect(parametersOf(bound.graph)).toEqual([]);
    expect(bound.names.toSorted()).toEqual(
      Object.keys(tensors)
        .filter((name) => !UNUSED.test(name))
        .toSorted(),
    );
  });
});

interface SmallNet {
  readonly architecture: ArchitectureName;
  readonly options: ArchitectureOptions;
  readonly size: number;
  readonly tensors: Shapes;
  readonly logits: readonly number[];
}

const SMALL_NETS = (await readFixture('logits')) as readonly SmallNet[];

describe.each(SMALL_NETS)('$architecture with the names of $reference', ({ architecture, options, size, ...net }) => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-names-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has the logits of the reference', async () => {
    const file = join(folder, 'm.safetensors');
    const weights = Object.entries(net.tensors).map(([name, dims]) => ({
      name,
      dims,
      values: () => generatedValues(name, dims),
    }));
    await writeSafetensors(file, weights);
    const { tensors } = await readSafetensors(file);
    const { graph } = bind(architecture, tensors, { ...options, classes: net.logits.length });
    const classifier = applyPasses(graph, [addImageInput(IMAGENET)]);
    const { logits } = await runGraph(classifier, { image: randomImage([1, size, size, 3]) }, { folder });
    expect(relativeError(logits!.data, net.logits)).toBeLessThan(1e-4);
  });
});

describe('findNaming', () => {
  const parameters = parametersOf(buildArchitecture('resnet18')).map(({ name }) => name);
  const tensors = (...names: string[]) => new Map(names.map((name) => [name, undefined]));
  const find = (names: string[]) => findNaming('m.safetensors', parameters, tensors(...names));

  it.each(['', 'module.', 'model.', '_orig_mod.', 'net.', 'backbone.'])('reads past "%s"', (wrapper) => {
    const { nameOf } = find(['loss.weight', ...parameters.map((name) => wrapper + name)]);
    expect(parameters.map(nameOf)).toEqual(parameters.map((name) => wrapper + name));
  });

  it('says which naming the file has, and the first tensor that is missing under it', () => {
    const names = parameters.map((name) => `module.${name}`);
    expect(() => find(names.filter((name) => name !== 'module.layer1.0.bn1.bias'))).toThrow(
      'm.safetensors: tensor "module.layer1.0.bn1.bias": is missing (the architecture\'s own after "module." names); ' +
        'the file begins with "module.conv1.weight", "module.bn1.weight", "module.bn1.bias"',
    );
  });

  it('shows how a file begins that has no name it knows', () => {
    expect(() => find(['a', 'b'.repeat(1000), 'c', 'd'])).toThrow(ModelFileError);
    expect(() => find(['a', 'b'.repeat(1000), 'c', 'd'])).toThrow(
      `tensor "conv1.weight": is missing (no known names); the file begins with "a", "${'b'.repeat(80)}", "c"`,
    );
    expect(() => find([])).toThrow('the file begins with nothing');
  });
});
