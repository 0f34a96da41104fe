import { describe, expect, it } from 'vitest';
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  buildAuxiliary,
  countPublishedParameters,
  isArchitecture,
  nativeForm,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../src/architectures/index.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { verifyGraph } from '../../../src/graph/verify.js';
import { GOLDEN_NAMES, readGolden } from '../../support/golden.js';

const namesOf = (name: ArchitectureName, options: ArchitectureOptions) =>
  parametersOf(buildArchitecture(name, options)).map((parameter) => parameter.name);

describe.each(ARCHITECTURE_NAMES)('%s', (name) => {
  const graph = buildArchitecture(name, { classes: 11 });
  const { inputSize } = nativeForm(name);

  it('is a well-formed graph from an image to logits', () => {
    expect(() => verifyGraph(graph)).not.toThrow();
    expect(graph.inputs).toEqual([{ name: 'input', dataType: 'float32', dims: ['N', 3, 'H', 'W'] }]);
    expect(inferShapes(graph, { input: [2, 3, inputSize, inputSize] }).get('logits')).toEqual([2, 11]);
  });
});

describe('nativeForm', () => {
  it('is ImageNet, Inception v3 larger, or CIFAR-10', () => {
    expect(nativeForm('vgg16')).toEqual({ inputSize: 224, classes: 1000 });
    expect(nativeForm('inception_v3')).toEqual({ inputSize: 299, classes: 1000 });
    expect(nativeForm('wide_resnet28_10_cifar')).toEqual({ inputSize: 32, classes: 10 });
  });
});

describe.each(GOLDEN_NAMES)('the parameters of %s', (name) => {
  it('have the names, shapes and number of the reference, an auxiliary classifier included', async () => {
    const golden = await readGolden(name);
    const auxiliary = buildAuxiliary(name);
    const parameters = [buildArchitecture(name), ...(auxiliary ? [auxiliary] : [])].flatMap(parametersOf);
    expect(Object.fromEntries(parameters.map(({ name: key, dims }) => [key, dims]))).toEqual(golden.state);
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
    ['resnet18', { leakyAlpha: 1 }, /"leakyAlpha" must be between 0 and 1, is 1/],
    ['resnet18', { eluAlpha: 0 }, /"eluAlpha" must be positive, is 0/],
    ['resnext50_32x4d', { width: 8 }, /"width" is too small for groups of 4 channels, is 8/],
    ['vgg11', { poolings: 3 }, /"poolings" must be 4 or 5, is 3/],
    ['vgg11', { inputSize: 100 }, /"inputSize" must be a multiple of 32, is 100/],
  ])('rejects options that do not fit: %s %j', (name, options, message) => {
    expect(() => buildArchitecture(name, options)).toThrow(message);
  });
});

describe('isArchitecture', () => {
  it('knows the names, and only those', () => {
    expect(ARCHITECTURE_NAMES.every(isArchitecture)).toBe(true);
    expect(['', 'vgg', 'resnet20', 'constructor'].some(isArchitecture)).toBe(false);
  });
});
