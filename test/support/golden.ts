/** The golden outputs of the reference networks: test/fixtures/golden/README.md says what they are. */
import { readFile } from 'node:fs/promises';
import { parametersOf, type ArchitectureName } from '../../src/architectures/index.js';
import type { Graph } from '../../src/graph/graph.js';
import { writeSafetensors } from '../../src/models/files/safetensors.js';
import { generatedValues } from '../../src/models/networks/generated-weights.js';
import { hasShared, shared } from './shared.js';

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

/** The architectures whose golden outputs are in test/fixtures/golden. */
const KEPT = [
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
  'nin_cifar',
  'all_cnn_a_cifar',
  'all_cnn_c_cifar',
  'highway19_cifar',
  'plain20_cifar',
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

/** Those whose golden outputs are large, by their files in the reference data beside the repository. */
const SHARED = {
  inception_v4: 'inception_v4',
  inception_resnet_v2: 'inception_resnet_v2',
  inception_resnet_v1_facenet: 'inception_resnet_v1_facenet_pytorchcv',
  polynet: 'polynet',
} satisfies Partial<Record<ArchitectureName, string>>;

const SHARED_NAMES = Object.keys(SHARED) as readonly (keyof typeof SHARED)[];

/** The architectures whose golden outputs are here. */
export const GOLDEN_NAMES: readonly ArchitectureName[] = [...KEPT, ...(hasShared ? SHARED_NAMES : [])];

export interface Golden {
  readonly architecture: string;
  readonly parameters: number;
  /** How far the reference in single precision is from double precision, relative to the largest value; default 0. */
  readonly rounding?: number;
  /** Shapes by state-dict name. */
  readonly state: Readonly<Record<string, readonly number[]>>;
  readonly cases: readonly GoldenCase[];
}

export async function readGolden(architecture: ArchitectureName): Promise<Golden> {
  const own = SHARED_NAMES.find((name) => name === architecture);
  const file =
    own === undefined
      ? new URL(`../fixtures/golden/${architecture}.json`, import.meta.url)
      : shared('golden-lecture', `${SHARED[own]}.json`);
  return JSON.parse(await readFile(file, 'utf8')) as Golden;
}

/**
 * The reference's name of each parameter of a graph: the same, or that at the same place of its state where it has names of
 * its own.
 */
export function referenceNames(graph: Graph, { state }: Golden): ReadonlyMap<string, string> {
  const [names, theirs] = [parametersOf(graph).map(({ name }) => name), Object.keys(state)];
  const isSame = Object.hasOwn(state, names[0]!);
  return new Map(names.map((name, index) => [name, isSame ? name : (theirs[index] ?? '')]));
}

/** Write the weights of the reference under the graph's names as safetensors. */
export async function writeGoldenWeights(file: string, graph: Graph, golden: Golden): Promise<void> {
  const names = referenceNames(graph, golden);
  const tensors = parametersOf(graph).map(({ name, dims }) => ({
    name,
    dims,
    values: () => generatedValues(names.get(name)!, dims),
  }));
  await writeSafetensors(file, tensors);
}
