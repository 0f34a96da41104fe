import { describe, expect, it } from 'vitest';
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  buildAuxiliary,
  countPublishedParameters,
  imageChannels,
  isArchitecture,
  nativeForm,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../src/architectures/index.js';
import { requiredAttribute } from '../../../src/graph/attributes.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { verifyGraph } from '../../../src/graph/verify.js';
import { GOLDEN_NAMES, readGolden, referenceNames } from '../../support/golden.js';

const namesOf = (name: ArchitectureName, options: ArchitectureOptions) =>
  parametersOf(buildArchitecture(name, options)).map((parameter) => parameter.name);

describe.each(ARCHITECTURE_NAMES)('%s', (name) => {
  const graph = buildArchitecture(name, { classes: 11 });
  const { inputSize } = nativeForm(name);
  const channels = imageChannels(name);

  it('is a well-formed graph from an image to logits', () => {
    expect(() => verifyGraph(graph)).not.toThrow();
    expect(graph.inputs).toEqual([{ name: 'input', dataType: 'float32', dims: ['N', channels, 'H', 'W'] }]);
    expect(inferShapes(graph, { input: [2, channels, inputSize, inputSize] }).get('logits')).toEqual([2, 11]);
  });
});

describe('nativeForm', () => {
  it('is ImageNet, Inception v3 larger, or CIFAR-10', () => {
    expect(nativeForm('vgg16')).toEqual({ inputSize: 224, classes: 1000 });
    expect(nativeForm('inception_v3')).toEqual({ inputSize: 299, classes: 1000 });
    expect(nativeForm('polynet')).toEqual({ inputSize: 331, classes: 1000 });
    expect(nativeForm('wide_resnet28_10_cifar')).toEqual({ inputSize: 32, classes: 10 });
  });
});

describe.each(GOLDEN_NAMES)('the parameters of %s', (name) => {
  it('have the names, shapes and number of the reference, an auxiliary classifier included', async () => {
    const golden = await readGolden(name);
    const auxiliary = buildAuxiliary(name);
    const graphs = [buildArchitecture(name), ...(auxiliary ? [auxiliary] : [])];
    const named = graphs.flatMap((graph) => {
      const names = referenceNames(graph, golden);
      return parametersOf(graph).map(({ name: key, dims }) => [names.get(key), dims] as const);
    });
    expect(Object.fromEntries(named)).toEqual(golden.state);
    expect(countPublishedParameters(name)).toBe(golden.parameters);
  });
});

describe('buildArchitecture', () => {
  it("numbers VGG's layers as torchvision does, also without the last pooling", () => {
    const names = namesOf('vgg11_bn', { width: 32, hidden: 512, poolings: 4, inputSize: 64, classes: 200 });
    const convolutions = [0, 4, 8, 11, 15, 18, 22, 25];
    expect(names).toEqual([
      ...convolutions.flatMap((index) => [
        ...['weight', 'bias'].map((kind) => `features.${index}.${kind}`),
        ...['weight', 'bias', 'running_mean', 'running_var'].map((kind) => `features.${index + 1}.${kind}`),
      ]),
      ...[0, 3, 6].flatMap((index) => [`classifier.${index}.weight`, `classifier.${index}.bias`]),
    ]);
  });

  it("fits VGG's head to the native size", () => {
    const graph = buildArchitecture('vgg11_bn', { width: 32, hidden: 512, poolings: 4, inputSize: 64, classes: 200 });
    expect(graph.initializers.get('classifier.0.weight')!.dims).toEqual([512, 256 * 4 * 4]);
    expect(inferShapes(graph, { input: [1, 3, 64, 64] }).get('logits')).toEqual([1, 200]);
  });

  it.each([
    ['imagenet', 7],
    ['compact', 14],
    ['cifar', 28],
  ])('gives a ResNet with the stem %s a map of %i cells at 224', (stem, cells) => {
    const graph = buildArchitecture('resnet18', { stem, width: 8 });
    expect(inferShapes(graph, { input: [1, 3, 224, 224] }).get('layer4.1.relu')).toEqual([1, 64, cells, cells]);
  });

  it.each<[ArchitectureName, number[]]>([
    ['resnet50', [1, 2]],
    ['resnet50_v1', [2, 1]],
  ])('puts the stride of a bottleneck of %s where its version has it', (name, strides) => {
    const stridesOf = (node: string) =>
      buildArchitecture(name).nodes.find((one) => one.name === node)?.attributes['strides'];
    for (const [index, stride] of strides.entries()) {
      expect(stridesOf(`layer2.0.conv${index + 1}`)).toMatchObject({ value: [stride, stride] });
    }
  });

  it('leaves every shortcut out of a plain net', () => {
    expect(buildArchitecture('plain34').nodes.some(({ op }) => op === 'Add')).toBe(false);
    expect(namesOf('plain34', {}).some((name) => name.includes('downsample'))).toBe(false);
  });

  it('names no parameter of a shortcut in a ResNet for CIFAR (option A)', () => {
    expect(namesOf('resnet20_cifar', {}).some((name) => name.includes('downsample'))).toBe(false);
  });

  it('has groups of 4 channels in ResNeXt-50', () => {
    const graph = buildArchitecture('resnext50_32x4d');
    expect(graph.initializers.get('layer1.0.conv2.weight')?.dims).toEqual([128, 4, 3, 3]);
    expect(graph.nodes.find(({ name }) => name === 'layer1.0.conv2')?.attributes['group']).toMatchObject({ value: 32 });
  });

  it.each<[string, ArchitectureName, ArchitectureOptions, number[]]>([
    ['an even side in torch', 'efficientnet_lite0', {}, [1, 1, 1, 1]],
    ['an even side in TensorFlow', 'tf_efficientnet_lite0', {}, [0, 0, 1, 1]],
    ['an odd side in TensorFlow', 'tf_efficientnet_lite0', { inputSize: 225 }, [1, 1, 1, 1]],
    ['by an option', 'efficientnet_lite0', { padding: 'tensorflow' }, [0, 0, 1, 1]],
  ])('pads a window of EfficientNet-Lite that halves as %s wants', (_, name, options, pads) => {
    const stem = buildArchitecture(name, options).nodes.find((node) => node.name === 'conv_stem');
    expect(stem?.attributes['pads']).toMatchObject({ value: pads });
  });

  it('makes the narrow forms of nets whose channels keep their ratios', () => {
    const widthOf = (name: ArchitectureName, parameter: string, width: number) =>
      buildArchitecture(name, { width }).initializers.get(parameter)?.dims.slice(0, 2);
    expect(widthOf('inception_v4', 'features.21.branch2_2.conv.weight', 8)).toEqual([128, 112]);
    expect(widthOf('inception_resnet_v2', 'repeat_2.8.conv2d.weight', 16)).toEqual([1040, 224]);
    expect(widthOf('all_cnn_imagenet', 'conv12.weight', 48)).toEqual([1000, 512]);
    expect(widthOf('highway19_cifar', 'conv18.weight', 8)).toEqual([25, 32]);
  });

  it("gives EfficientNet-Lite the epsilon of the library that it comes from, or the manifest's", () => {
    const epsilonOf = (name: ArchitectureName, options: ArchitectureOptions = {}) =>
      buildArchitecture(name, options).nodes.find(({ op }) => op === 'BatchNormalization')?.attributes['epsilon'];
    expect(epsilonOf('efficientnet_lite0')).toMatchObject({ value: Math.fround(1e-5) });
    expect(epsilonOf('tf_efficientnet_lite0')).toMatchObject({ value: Math.fround(1e-3) });
    expect(epsilonOf('efficientnet_lite0', { epsilon: 0.001 })).toMatchObject({ value: Math.fround(1e-3) });
  });

  it.each<[ArchitectureName, ArchitectureOptions, RegExp]>([
    [
      'resnet18',
      { hidden: 512 },
      /resnet18 has no option "hidden"; it has classes, activation, inputSize, leakyAlpha, eluAlpha, width, stem/,
    ],
    ['vgg16', { stem: 'compact' }, /vgg16 has no option "stem"/],
    ['vgg16', { toString: 1 }, /vgg16 has no option "toString"/],
    ['resnet18', { width: '32' }, /resnet18: option "width" must be a number, is "32"/],
    ['resnet18', { width: 0 }, /"width" must be a positive integer, is 0/],
    ['resnet18', { classes: 1.5 }, /"classes" must be a positive integer, is 1\.5/],
    ['resnet18', { stem: 'huge' }, /^resnet18: option "stem" must be one of imagenet, compact, cifar, is "huge"/],
    [
      'densenet121',
      { activation: 'tanh' },
      /^densenet121: option "activation" must be one of relu, relu6, leaky_relu, prelu, elu, is "tanh"/,
    ],
    ['efficientnet_lite0', { padding: 'same' }, /"padding" must be one of torch, tensorflow, is "same"/],
    ['efficientnet_lite0', { epsilon: 1 }, /"epsilon" must be between 0 and 1, is 1/],
    ...['', '0 x 2-way', '1 x', '1 x 2-way,poly-3', '2 x poly-4', '1x2-way', '1000 x 2-way'].map(
      (stageA): [ArchitectureName, ArchitectureOptions, RegExp] => [
        'polynet',
        { stageA },
        /^polynet: option "stageA" must be like "10 x poly-3, 2-way", of 2-way, poly-2, poly-3, mpoly-2, is "/,
      ],
    ),
    ['resnet18', { leakyAlpha: 1 }, /"leakyAlpha" must be between 0 and 1, is 1/],
    ['resnet18', { eluAlpha: 0 }, /"eluAlpha" must be positive, is 0/],
    ['resnext50_32x4d', { width: 8 }, /"width" is too small for groups of 4 channels, is 8/],
    ['vgg11', { poolings: 3 }, /"poolings" must be 4 or 5, is 3/],
    ['vgg11', { inputSize: 100 }, /"inputSize" must be a multiple of 32, is 100/],
    ['multi_resnet_cifar', { depth: 28 }, /^multi_resnet_cifar: option "depth" must be 9n \+ 2, at most 2000, is 28/],
    ['multi_resnet_cifar', { depth: 2 }, /option "depth" must be 9n \+ 2, at most 2000, is 2$/],
    ['multi_resnet_basic_cifar', { depth: 29 }, /option "depth" must be 6n \+ 2, at most 2000, is 29/],
    ['multi_resnet', { depth: 29 }, /option "depth" must be one of 18, 34, 50, 101, 152, 200, is 29/],
    ['multi_resnet', { k: 65 }, /option "k" must be at most 64, is 65/],
    [
      'multi_resnet50_k2',
      { k: 3 },
      /multi_resnet50_k2 has no option "k"; it has classes, activation, inputSize, leakyAlpha, eluAlpha, width$/,
    ],
    ['ror3_cifar', { depth: 58 }, /^ror3_cifar: option "depth" must be 6n \+ 8, at most 2000, is 58/],
    ['ror3_wrn_cifar', { depth: 20 }, /option "depth" must be 6n \+ 4, at most 2000, is 20/],
    ['ror3_56_cifar', { pooling: 1 }, /option "pooling" must be a boolean, is 1/],
    ['recurrent_resnet_cifar', { steps: 501 }, /option "steps" must be at most 500, is 501/],
    ['fractalnet_cifar', { columns: 9 }, /option "columns" must be at most 8, is 9/],
    ['fractalnet_cifar', { column: 3 }, /option "column" must be one of 2 columns, is 3/],
    ['fractalnet_cifar', { blocks: 6 }, /option "blocks" must be fewer: 6 halvings leave nothing of 32, is 6/],
    ['fractalnet20_cifar', { columns: 4 }, /fractalnet20_cifar has no option "columns"/],
    [
      'spatial_transformer',
      { classifier: 'resnet' },
      /^spatial_transformer: option "classifier" must be an architecture .*, is "resnet"/,
    ],
    ['spatial_transformer', { classifier: 'stn_mnist' }, /option "classifier" must be .*, is "stn_mnist"/],
    ['spatial_transformer', { alignCorners: 'yes' }, /option "alignCorners" must be a boolean, is "yes"/],
    ['spatial_transformer', { hidden: 3 }, /resnet20_cifar has no option "hidden"/],
    ['spatial_transformer', { inputSize: 17 }, /option "inputSize" must be at least 18, is 17/],
    ['stn_mnist', { inputSize: 17 }, /^stn_mnist: option "inputSize" must be at least 18, is 17/],
  ])('rejects options that do not fit: %s %j', (name, options, message) => {
    expect(() => buildArchitecture(name, options)).toThrow(message);
  });

  it.each<ArchitectureName>([
    ...(['vgg11', 'resnet18', 'preresnet18', 'densenet121', 'googlenet', 'inception_v3', 'inception_v4'] as const),
    ...([
      'inception_resnet_v1',
      'polynet',
      'squeezenet1_1',
      'nin_cifar',
      'all_cnn_a_cifar',
      'highway19_cifar',
    ] as const),
    ...(['multi_resnet_cifar', 'ror3_56_cifar', 'recurrent_resnet_cifar', 'fractalnet20_cifar'] as const),
    ...(['spatial_transformer', 'stn_mnist'] as const),
  ])('gives every leaky activation of %s its slope', (name) => {
    const { nodes } = buildArchitecture(name, { activation: 'leaky_relu', leakyAlpha: 0.25 });
    const slopes = nodes.flatMap((node) =>
      node.op === 'LeakyRelu' ? [requiredAttribute(node, 'alpha', 'float')] : [],
    );
    expect(slopes.length).toBeGreaterThan(3);
    expect(new Set(slopes)).toEqual(new Set([0.25]));
  });
});

describe('isArchitecture', () => {
  it('knows the names, and only those', () => {
    expect(ARCHITECTURE_NAMES.every(isArchitecture)).toBe(true);
    expect(['', 'vgg', 'resnet20', 'constructor'].some(isArchitecture)).toBe(false);
  });
});
