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

/**
 * Trainable parameters and multiply-adds at the native size of the same nets in other libraries: timm 0.9.16, Cadene's
 * pretrainedmodels 0.7.4, pytorchcv 0.0.67; those of papers and of Caffe's nets built from their tables in PyTorch.
 */
const COUNTED: Table<readonly [parameters: number, multiplyAdds: number]> = {
  plain20_cifar: [269722, 40551040],
  plain32_cifar: [464154, 68862592],
  plain44_cifar: [658586, 97174144],
  plain56_cifar: [853018, 125485696],
  plain110_cifar: [1727962, 252887680],
  inception_v4: [42679816, 12253974624],
  inception_resnet_v1: [22756328, 6206361696],
  inception_resnet_v1_facenet: [23995624, 6308235360],
  inception_resnet_v2: [55843464, 13155794016],
  polynet: [95366600, 34699493472],
  nin_cifar: [966986, 222486528],
  nin_imagenet: [7595176, 1100188800],
  cnn_a_cifar: [839242, 138677760],
  cnn_b_cifar: [885610, 157552128],
  cnn_c_cifar: [954730, 228331008],
  strided_cnn_a_cifar: [839242, 44674560],
  strided_cnn_b_cifar: [885610, 143396352],
  strided_cnn_c_cifar: [954730, 100929024],
  convpool_cnn_a_cifar: [1254250, 308547072],
  convpool_cnn_b_cifar: [1300618, 327421440],
  convpool_cnn_c_cifar: [1369738, 398200320],
  all_cnn_a_cifar: [1254250, 181145088],
  all_cnn_b_cifar: [1300618, 200019456],
  all_cnn_c_cifar: [1369738, 270798336],
  all_cnn_imagenet: [9372840, 1342537856],
  highway19_cifar: [2256838, 330826728],
};

/** Millions of parameters as the papers round them: He 2016a table 6, He 2016b, Zagoruyko 2016 tables 1, 4, 7, Huang 2017 table 2. */
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
  densenet40_k12_cifar: '1.0',
  densenet100_k12_bc_cifar: '0.8',
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

describe.each(entries(COUNTED))('the cost of %s', (name, counts) => {
  it('is that of the same net elsewhere, to the digit', () => {
    expect([countPublishedParameters(name), multiplyAdds(name)]).toEqual(counts);
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
    const tables = [DOCUMENTED, COUNTED, ROUNDED, DERIVED];
    const checked = [...tables.flatMap((table) => Object.keys(table)), ...UNPUBLISHED, ...NESTED_NAMES];
    expect(checked.toSorted()).toEqual(ARCHITECTURE_NAMES.toSorted());
  });

  it('counts the slopes of PReLUs', () => {
    const count = (activation: string) => countParameters(buildArchitecture('resnet18', { activation }));
    expect(count('prelu') - count('relu')).toBe(17);
  });

  it('counts what pytorchcv counts of a Network in Network for 100 classes', () => {
    expect(countParameters(buildArchitecture('nin_cifar', { classes: 100 }))).toBe(984356);
  });

  it('counts a weight once that several nodes read: the steps of a poly-3', () => {
    const costs = ['poly-2', 'poly-3'].map((kind) => {
      const graph = buildArchitecture('polynet', { stageA: '1 x 2-way', stageB: `1 x ${kind}`, stageC: '1 x 2-way' });
      const shapes = inferShapes(graph, { input: [1, 3, 331, 331] });
      return { parameters: countParameters(graph), multiplyAdds: countMultiplyAdds(graph, shapes) };
    });
    // A step more has its normalizations and its closing convolution, and computes its paths on 19×19 cells too.
    const paths = 1152 * (128 + 192) + 128 * 160 * 7 + 160 * 192 * 7;
    const closing = 384 * 1152;
    expect(costs[1]!.parameters - costs[0]!.parameters).toBe(closing + 2 * (128 + 160 + 192 + 192 + 1152));
    expect(costs[1]!.multiplyAdds - costs[0]!.multiplyAdds).toBe((paths + closing) * 19 ** 2);
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
