/**
 * Figures of Multi-ResNet, RoR, FractalNet and the recurrent ResNet: counted on the references in PyTorch, from which the
 * goldens are.
 */
import type { ArchitectureName, ArchitectureOptions } from '../../src/architectures/index.js';

export interface NestedFigures {
  readonly parameters: number;
  /** Exact, or in the unit of its digits. Absent: not counted. */
  readonly multiplyAdds?: number | string;
  readonly receptiveField?: number;
  readonly outputStride: number;
  /** Centre of the first cell. */
  readonly offset: number;
}

export type NestedNet = readonly [name: ArchitectureName, options: ArchitectureOptions, figures: NestedFigures];

const cifar = { outputStride: 4, offset: 0.5 };
const imagenet = { outputStride: 32, offset: 0.5 };
const pooled = { outputStride: 4, offset: 2 };
const fractal = { outputStride: 32, offset: 16 };

const net = (name: ArchitectureName, figures: NestedFigures): NestedNet => [name, {}, figures];

const PUBLISHED: readonly NestedNet[] = [
  net('multi_resnet200_k5_cifar', { parameters: 10187354, multiplyAdds: 1467301888, receptiveField: 311, ...cifar }),
  net('multi_resnet398_k5_cifar', { parameters: 20388314, multiplyAdds: 2937929728, ...cifar }),
  net('multi_resnet_basic8_k23_cifar', { parameters: 1704794, multiplyAdds: 272064512, ...cifar }),
  net('multi_resnet_basic14_k10_cifar', { parameters: 1715578, multiplyAdds: 260268032, ...cifar }),
  net('multi_resnet_basic20_k6_cifar', { parameters: 1614202, multiplyAdds: 241393664, ...cifar }),
  net('multi_resnet_basic26_k5_cifar', { parameters: 1831898, multiplyAdds: 272064512, ...cifar }),
  net('multi_resnet_basic110_k4_cifar', {
    parameters: 6910394,
    multiplyAdds: 1010524160,
    receptiveField: 501,
    ...cifar,
  }),
  net('multi_resnet_basic26_k2_w10_cifar', { parameters: 72690714, multiplyAdds: 10457776128, ...cifar }),
  net('multi_resnet_basic26_k4_w10_cifar', { parameters: 145113754, multiplyAdds: 20885864448, ...cifar }),
  net('multi_resnet34_k2', { parameters: 42895272, multiplyAdds: '7.214', ...imagenet }),
  net('multi_resnet50_k2', { parameters: 46263592, multiplyAdds: '7.797', ...imagenet }),
  net('multi_resnet101_k2', { parameters: 84247848, multiplyAdds: '15.221', ...imagenet }),
  net('multi_resnet152_k2', { parameters: 115535144, multiplyAdds: '22.646', ...imagenet }),
  net('multi_resnet200_k2', { parameters: 124497192, multiplyAdds: '29.634', receptiveField: 1707, ...imagenet }),
  net('ror3_56_cifar', { parameters: 762746, multiplyAdds: 112181888, receptiveField: 221, ...cifar }),
  net('ror3_110_cifar', { parameters: 1637690, multiplyAdds: 239583872, receptiveField: 473, ...cifar }),
  net('ror3_164_cifar', { parameters: 2512634, multiplyAdds: 366985856, receptiveField: 725, ...cifar }),
  net('ror3_56_cifar_pytorchcv', { parameters: 762746, multiplyAdds: 112181888, receptiveField: 230, ...pooled }),
  net('ror3_110_cifar_pytorchcv', { parameters: 1637690, multiplyAdds: 239583872, receptiveField: 482, ...pooled }),
  net('ror3_164_cifar_pytorchcv', { parameters: 2512634, multiplyAdds: 366985856, receptiveField: 734, ...pooled }),
  net('pre_ror3_164_cifar', { parameters: 2512090, multiplyAdds: 367026176, receptiveField: 725, ...cifar }),
  net('ror3_wrn40_2_cifar', { parameters: 2256346, multiplyAdds: 329383936, receptiveField: 165, ...cifar }),
  net('ror3_wrn58_4_cifar', { parameters: 13645530, multiplyAdds: 1983725568, receptiveField: 249, ...cifar }),
  net('recurrent_resnet_cifar', { parameters: 173530, multiplyAdds: 121069568, receptiveField: 245, ...cifar }),
  net('fractalnet20_cifar', { parameters: 33714314, multiplyAdds: 845222912, receptiveField: 280, ...fractal }),
  net('fractalnet20_cifar_pytorchcv', {
    parameters: 33724618,
    multiplyAdds: 845222912,
    receptiveField: 280,
    ...fractal,
  }),
  net('fractalnet5_thin_cifar100', { parameters: 258292, multiplyAdds: '0.005', ...fractal }),
  net('fractalnet10_thin_cifar100', { parameters: 847716, multiplyAdds: '0.019', ...fractal }),
  net('fractalnet20_thin_cifar100', { parameters: 2125204, multiplyAdds: '0.054', ...fractal }),
  net('fractalnet40_thin_cifar100', { parameters: 4778820, multiplyAdds: '0.129', receptiveField: 528, ...fractal }),
  net('fractalnet80_thin_cifar100', { parameters: 10184692, multiplyAdds: '0.284', ...fractal }),
  net('fractalnet160_thin_cifar100', { parameters: 21095076, ...fractal }),
  net('fractalnet34', {
    parameters: 164002152,
    multiplyAdds: 24164982784,
    receptiveField: 999,
    outputStride: 32,
    offset: 14.5,
  }),
];

/** The nets whose form is an option. */
const PARAMETRIC: readonly NestedNet[] = [
  ['multi_resnet_cifar', { depth: 29, k: 3 }, { parameters: 844826, ...cifar }],
  ['multi_resnet_cifar', { depth: 1001, k: 1 }, { parameters: 10327706, multiplyAdds: 1488011264, ...cifar }],
  ['multi_resnet_basic_cifar', { depth: 20, k: 3 }, { parameters: 809050, ...cifar }],
  ['multi_resnet_basic_cifar', { depth: 434, k: 1 }, { parameters: 6980186, ...cifar }],
  ['multi_resnet', { depth: 18, k: 1 }, { parameters: 11687720, ...imagenet }],
  ['multi_resnet', { depth: 34, k: 1 }, { parameters: 21795880, ...imagenet }],
  ['multi_resnet', { depth: 101, k: 1 }, { parameters: 44541480, ...imagenet }],
  ['multi_resnet', { depth: 200, k: 1 }, { parameters: 64666152, ...imagenet }],
  ['pre_ror3_cifar', { depth: 170 }, { parameters: 2609306, ...cifar }],
  ['ror3_cifar', { depth: 56 }, { parameters: 762746, multiplyAdds: 112181888, receptiveField: 221, ...cifar }],
  ['ror3_wrn_cifar', { depth: 40, width: 32 }, { parameters: 2256346, ...cifar }],
  [
    'recurrent_resnet_cifar',
    { steps: 3 },
    { parameters: 171290, multiplyAdds: 50290688, receptiveField: 105, ...cifar },
  ],
  [
    'recurrent_resnet_cifar',
    { steps: 18 },
    { parameters: 178010, multiplyAdds: 262627328, receptiveField: 525, ...cifar },
  ],
  [
    'recurrent_resnet_cifar',
    { steps: 8, sharedNorms: true },
    { parameters: 170394, multiplyAdds: 121069568, ...cifar },
  ],
  ['fractalnet_cifar', { columns: 3 }, { parameters: 33714314, ...fractal }],
  ['fractalnet', { columns: 4 }, { parameters: 164002152, outputStride: 32, offset: 14.5 }],
];

export const NESTED_NETS = [...PUBLISHED, ...PARAMETRIC];

/** All names of these families. */
export const NESTED_NAMES: readonly ArchitectureName[] = [
  ...new Set(NESTED_NETS.map(([name]) => name)),
  'spatial_transformer',
  'stn_mnist',
];
