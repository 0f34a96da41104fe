import { describe, expect, it } from 'vitest';
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  isArchitecture,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../src/architectures/index.js';
import { countParameters } from '../../../src/graph/cost.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { verifyGraph } from '../../../src/graph/verify.js';
import { readGolden } from '../../support/golden.js';

const namesOf = (name: ArchitectureName, options: ArchitectureOptions) =>
  parametersOf(buildArchitecture(name, options)).map((parameter) => parameter.name);

describe.each(ARCHITECTURE_NAMES)('%s', (name) => {
  const graph = buildArchitecture(name, { classes: 10 });

  it('is a well-formed graph from an image to logits', () => {
    expect(() => verifyGraph(graph)).not.toThrow();
    expect(graph.inputs).toEqual([{ name: 'input', dataType: 'float32', dims: ['N', 3, 'H', 'W'] }]);
    expect(inferShapes(graph, { input: [2, 3, 224, 224] }).get('logits')).toEqual([2, 10]);
  });
});

describe.each(['resnet18', 'resnet50', 'resnet152', 'vgg11', 'vgg16_bn'] as const)('the parameters of %s', (name) => {
  it("have torchvision's names, shapes and number", async () => {
    const golden = await readGolden(name);
    const graph = buildArchitecture(name);
    expect(Object.fromEntries(parametersOf(graph).map(({ name: key, dims }) => [key, dims]))).toEqual(golden.state);
    expect(countParameters(graph)).toBe(golden.parameters);
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

  it('puts the stride of a bottleneck on its 3×3 convolution (v1.5)', () => {
    const stridesOf = (node: string) =>
      buildArchitecture('resnet50').nodes.find(({ name }) => name === node)?.attributes['strides'];
    expect(stridesOf('layer2.0.conv1')).toMatchObject({ value: [1, 1] });
    expect(stridesOf('layer2.0.conv2')).toMatchObject({ value: [2, 2] });
  });

  it.each<[ArchitectureName, ArchitectureOptions, RegExp]>([
    ['resnet18', { hidden: 512 }, /resnet18 has no option "hidden"; it has classes, width, stem, inputSize/],
    ['vgg16', { stem: 'compact' }, /vgg16 has no option "stem"/],
    ['vgg16', { toString: 1 }, /vgg16 has no option "toString"/],
    ['resnet18', { width: '32' }, /resnet18: option "width" must be a number, is "32"/],
    ['resnet18', { width: 0 }, /"width" must be a positive integer, is 0/],
    ['resnet18', { classes: 1.5 }, /"classes" must be a positive integer, is 1\.5/],
    ['resnet18', { stem: 'huge' }, /"stem" must be one of imagenet, compact, cifar, is "huge"/],
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
