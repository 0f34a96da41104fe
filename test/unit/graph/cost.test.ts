import { describe, expect, it } from 'vitest';
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  countPublishedParameters,
  nativeForm,
  type ArchitectureName,
} from '../../../src/architectures/index.js';
import { countMultiplyAdds, countParameters } from '../../../src/graph/cost.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { NESTED_NAMES } from '../../support/nested-figures.js';

type Table<V> = Readonly<Partial<Record<ArchitectureName, V>>>;

/** Trainable parameters and multiply-adds at the native size in billions, from torchvision's documentation. */
const DOCUMENTED: Table<readonly [parameters: number, gigaMultiplyAdds: number]> = {
  vgg11: [132863336, 7.61],
  vgg11_bn: [132868840, 7.61],
  vgg13: [133047848, 11.31],
  vgg13_bn: [133053736, 11.31],
  vgg16: [138357544, 15.47],
  vgg16_bn: [138365992, 15.47],
  vgg19: [143667240, 19.63],
  vgg19_bn: [143678248, 19.63],
  resnet18: [11689512, 1.81],
  resnet34: [21797672, 3.66],
  resnet50: [25557032, 4.09],
  resnet101: [44549160, 7.8],
  resnet152: [60192808, 11.51],
  wide_resnet50_2: [68883240, 11.4],
  wide_resnet101_2: [126886696, 22.75],
  resnext50_32x4d: [25028904, 4.23],
  resnext101_32x8d: [88791336, 16.41],
  resnext101_64x4d: [83455272, 15.46],
  densenet121: [7978856, 2.83],
  densenet161: [28681000, 7.73],
  densenet169: [14149480, 3.36],
  densenet201: [20013928, 4.29],
  inception_v3: [27161264, 5.71],
  googlenet: [6624904, 1.5],
  squeezenet1_0: [1248424, 0.82],
  squeezenet1_1: [1235496, 0.35],
  efficientnet_lite0: [4652008, 0.39],
  efficientnet_lite1: [5416680, 0.6],
  efficientnet_lite2: [6092072, 0.86],
  efficientnet_lite3: [8197096, 1.38],
  efficientnet_lite4: [13006568, 2.55],
  tf_efficientnet_lite0: [4652008, 0.39],
  tf_efficientnet_lite1: [5416680, 0.6],
  tf_efficientnet_lite2: [6092072, 0.86],
  tf_efficientnet_lite3: [8197096, 1.38],
  tf_efficientnet_lite4: [13006568, 2.55],
};

/** Millions of parameters as the papers round them: He 2016a table 6, He 2016b, Zagoruyko 2016 tables 1, 4, 7. */
const ROUNDED: Table<string> = {
  resnet20_cifar: '0.27',
  resnet32_cifar: '0.46',
  resnet44_cifar: '0.66',
  resnet56_cifar: '0.85',
  resnet110_cifar: '1.7',
  resnet1202_cifar: '19.4',
  'wide_resnet18_1.5': '25.9',
  wide_resnet18_2: '45.6',
  wide_resnet18_3: '101.8',
  'wide_resnet34_1.5': '48.6',
  wide_resnet34_2: '86.0',
  preresnet200: '64.7',
  // keras/src/applications/resnet_v2.py; to the digit in test/unit/models/keras.test.ts.
  preresnet50_keras: '25.6',
  preresnet101_keras: '44.6',
  preresnet152_keras: '60.2',
  preresnet110_cifar: '1.7',
  preresnet164_cifar: '1.7',
  // 10.2 in the paper, which leaves the normalizations out.
  preresnet1001_cifar: '10.3',
  wide_resnet40_1_cifar: '0.6',
  wide_resnet40_2_cifar: '2.2',
  wide_resnet40_4_cifar: '8.9',
  wide_resnet40_8_cifar: '35.7',
  wide_resnet28_10_cifar: '36.5',
  wide_resnet28_12_cifar: '52.5',
  wide_resnet22_8_cifar: '17.2',
  wide_resnet22_10_cifar: '26.8',
  wide_resnet16_8_cifar: '11.0',
  wide_resnet16_10_cifar: '17.1',
};

/** Channels that the projections of the shortcuts make, and their weights. */
const PROJECTED = 128 + 256 + 512;
const PROJECTIONS = 64 * 128 + 128 * 256 + 256 * 512;

/** Nets with the parameters of another one, less some. */
const DERIVED: Table<readonly [ArchitectureName, number]> = {
  resnet50_v1: ['resnet50', 0],
  resnet101_v1: ['resnet101', 0],
  resnet152_v1: ['resnet152', 0],
  plain18: ['resnet18', PROJECTIONS + 2 * PROJECTED],
  plain34: ['resnet34', PROJECTIONS + 2 * PROJECTED],
  // The projections are not normalized.
  preresnet18: ['resnet18', 2 * PROJECTED],
  preresnet34: ['resnet34', 2 * PROJECTED],
  preresnet50: ['resnet50', 2 * (256 + 512 + 1024 + 2048)],
  preresnet101: ['resnet101', 2 * (256 + 512 + 1024 + 2048)],
  preresnet152: ['resnet152', 2 * (256 + 512 + 1024 + 2048)],
};

/** Wider than any published one. */
const UNPUBLISHED: readonly ArchitectureName[] = ['wide_resnet18_4', 'wide_resnet34_3', 'wide_resnet34_4'];

const multiplyAdds = (name: ArchitectureName): number => {
  const graph = buildArchitecture(name);
  const { inputSize } = nativeForm(name);
  return countMultiplyAdds(graph, inferShapes(graph, { input: [1, 3, inputSize, inputSize] }));
};

const entries = <V>(table: Table<V>) => Object.entries(table) as [ArchitectureName, V][];

describe.each(entries(DOCUMENTED))('the cost of %s', (name, [parameters, gigaMultiplyAdds]) => {
  it('counts the published number of parameters', () => {
    expect(countPublishedParameters(name)).toBe(parameters);
  });

  it('counts the published multiply-adds', () => {
    expect(Math.abs(multiplyAdds(name) / 1e9 - gigaMultiplyAdds)).toBeLessThan(0.0101);
  });
});

describe('countParameters', () => {
  it.each(entries(ROUNDED))('counts what the paper says of %s: %s million', (name, millions) => {
    const digits = millions.split('.')[1]!.length;
    expect((countParameters(buildArchitecture(name)) / 1e6).toFixed(digits)).toBe(millions);
  });

  it.each(entries(DERIVED))('counts the parameters of %s: those of %s less %i', (name, [other, difference]) => {
    expect(countPublishedParameters(other) - countPublishedParameters(name)).toBe(difference);
  });

  it('is checked for every architecture', () => {
    const checked = [
      ...Object.keys(DOCUMENTED),
      ...Object.keys(ROUNDED),
      ...Object.keys(DERIVED),
      ...UNPUBLISHED,
      ...NESTED_NAMES,
    ];
    expect(checked.toSorted()).toEqual(ARCHITECTURE_NAMES.toSorted());
  });

  it('counts the slopes of PReLUs', () => {
    const count = (activation: string) => countParameters(buildArchitecture('resnet18', { activation }));
    expect(count('prelu') - count('relu')).toBe(17);
  });
});

describe('countMultiplyAdds', () => {
  it.each<[ArchitectureName, number]>([
    ['plain18', 1.8],
    ['plain34', 3.6],
    ['resnet50_v1', 3.8],
    ['resnet101_v1', 7.6],
    ['resnet152_v1', 11.3],
  ])('counts what He 2016a says of %s: %f billion', (name, giga) => {
    expect(Math.abs(multiplyAdds(name) / 1e9 - giga)).toBeLessThan(0.06);
  });
});
