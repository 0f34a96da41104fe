/** The golden outputs of the reference networks: test/fixtures/golden/README.md says what they are. */
import { readFile } from 'node:fs/promises';
import type { ArchitectureName } from '../../src/architectures/index.js';

export interface GoldenCase {
  readonly height: number;
  readonly width: number;
  readonly logits?: readonly number[];
  /** At least one of `logits` and `map` is there. */
  readonly map?: {
    readonly shape: readonly [classes: number, height: number, width: number];
    readonly channels: readonly number[];
    /** Row-major values of each of `channels`. */
    readonly values: readonly (readonly number[])[];
    /** Mean over space of every class. */
    readonly mean: readonly number[];
  };
}

/** The architectures that have golden outputs. */
export const GOLDEN_NAMES = [
  'vgg11',
  'vgg16_bn',
  'plain18',
  'resnet18',
  'resnet34',
  'resnet50',
  'resnet101',
  'resnet152',
  'resnet50_v1',
  'wide_resnet50_2',
  'wide_resnet101_2',
  'resnext50_32x4d',
  'resnext101_32x8d',
  'resnext101_64x4d',
  'preresnet18',
  'preresnet50',
  'preresnet101',
  'densenet121',
  'densenet161',
  'densenet169',
  'densenet201',
  'inception_v3',
  'googlenet',
  'squeezenet1_0',
  'squeezenet1_1',
  'efficientnet_lite0',
  'efficientnet_lite1',
  'efficientnet_lite2',
  'efficientnet_lite3',
  'efficientnet_lite4',
  'tf_efficientnet_lite0',
  'tf_efficientnet_lite1',
  'tf_efficientnet_lite2',
  'tf_efficientnet_lite3',
  'tf_efficientnet_lite4',
  'ror3_wrn40_2_cifar',
  'recurrent_resnet_cifar',
  'fractalnet20_cifar',
] as const satisfies readonly ArchitectureName[];

export interface Golden {
  readonly architecture: string;
  readonly parameters: number;
  /** How far the reference in single precision is from double precision, relative to the largest value; default 0. */
  readonly rounding?: number;
  /** Shapes by state-dict name. */
  readonly state: Readonly<Record<string, readonly number[]>>;
  readonly cases: readonly GoldenCase[];
}

export async function readGolden(architecture: string): Promise<Golden> {
  const file = new URL(`../fixtures/golden/${architecture}.json`, import.meta.url);
  return JSON.parse(await readFile(file, 'utf8')) as Golden;
}
