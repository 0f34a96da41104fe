/** HDF5 files of Keras' applications: the layers that Keras writes, and what its nets compute. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildArchitecture,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../src/architectures/index.js';
import { countParameters } from '../../../src/graph/cost.js';
import type { Graph } from '../../../src/graph/graph.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { addImageInput } from '../../../src/graph/passes/add-image-input.js';
import { bindWeights } from '../../../src/graph/passes/bind-weights.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { BIAS_INDEX, kerasSources } from '../../../src/models/keras-applications/sources.js';
import { convertKerasWeights } from '../../../src/models/keras-applications/thread.js';
import { digestFile } from '../../../src/regular-files.js';
import { IMAGENET } from '../../support/bound.js';
import { withClassMap } from '../../support/class-map.js';
import { writeKerasFile, type KerasLayout, type KerasShapes } from '../../support/keras.js';
import { randomImage, relativeError, runGraph, spatialMean } from '../../support/ort.js';

const WORKER_FILE = fileURLToPath(new URL('../../../dist/models/keras-applications/worker.js', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-keras-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function readFixture(name: string): Promise<unknown> {
  return JSON.parse(await readFile(new URL(`../../fixtures/weight-names/${name}.json`, import.meta.url), 'utf8'));
}

interface KerasNet {
  readonly trainable: number;
  readonly total: number;
  readonly layers: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

describe.each<[string, ArchitectureName]>([
  ['VGG16', 'vgg16'],
  ['VGG19', 'vgg19'],
  ['ResNet50', 'resnet50_v1'],
  ['ResNet101', 'resnet101_v1'],
  ['ResNet152', 'resnet152_v1'],
  ['ResNet50V2', 'preresnet50_keras'],
  ['ResNet101V2', 'preresnet101_keras'],
  ['ResNet152V2', 'preresnet152_keras'],
])("Keras' %s", (application, architecture) => {
  const graph = buildArchitecture(architecture);
  const sources = kerasSources(architecture, parametersOf(graph))!;

  it('has each parameter, and nothing that is not used', async () => {
    const { layers } = (await readFixture(`keras-${application}`)) as KerasNet;
    const used = sources.flatMap(({ layer, index, minusBiasOf }) => [
      `${layer}/${index}`,
      ...(minusBiasOf === undefined ? [] : [`${minusBiasOf}/${BIAS_INDEX}`]),
    ]);
    const written = Object.entries(layers).flatMap(([layer, weights]) =>
      Object.keys(weights).map((_, index) => `${layer}/${index}`),
    );
    expect(used.toSorted()).toEqual(written.toSorted());
    for (const { layer, index, kernel, dims } of sources) {
      const shape = Object.values(layers[layer]!)[index]!;
      const [height, width, inputs, outputs] = kernel ?? [];
      const expected =
        kernel === undefined ? dims : shape.length === 4 ? kernel : [height! * width! * inputs!, outputs];
      expect(shape).toEqual(expected);
    }
  });

  it('counts its parameters as Keras does, but for the biases that are folded into batch normalization', async () => {
    const { trainable } = (await readFixture(`keras-${application}`)) as KerasNet;
    const folded = sources.reduce((sum, { minusBiasOf, dims }) => sum + (minusBiasOf === undefined ? 0 : dims[0]!), 0);
    expect(countParameters(graph) + folded).toBe(trainable);
  });
});

interface SmallNet {
  readonly application: string;
  readonly architecture: ArchitectureName;
  readonly options: ArchitectureOptions;
  readonly size: number;
  readonly tensors: KerasShapes;
  readonly logits: readonly number[];
}

const LAYOUTS: Readonly<Record<string, KerasLayout>> = {
  // VGG's published files are of 2016.
  VGG16: { fixedLength: true, nameOf: (layer, kind) => `${layer}_${kind === 'kernel' ? 'W' : 'b'}_1:0` },
  ResNet50: { fixedLength: true, nameOf: (layer, kind) => `${layer}/${kind}:0` },
  ResNet50V2: { root: 'model_weights' },
};

describe.each((await readFixture('keras-logits')) as readonly SmallNet[])(
  "a file of Keras' $application",
  ({ application, architecture, options, size, tensors, logits }) => {
    it('has the logits of Keras, in both views', async () => {
      const file = join(folder, `${application}.h5`);
      await writeKerasFile(file, tensors, LAYOUTS[application]);
      const built = buildArchitecture(architecture, options);
      const sources = kerasSources(architecture, parametersOf(built))!;
      const conversion = { file, sources, stamp: await digestFile(file, Infinity), cache: folder };
      const weights = await convertKerasWeights(conversion, { workerFile: WORKER_FILE });
      await rm(file);

      const classifier = applyPasses(built, [bindWeights(weights)]);
      const image = randomImage([1, size, size, 3]);
      const run = async (graph: Graph) =>
        runGraph(applyPasses(graph, [addImageInput(IMAGENET)]), { image }, { folder: weights.folder });
      expect(relativeError((await run(classifier))['logits']!.data, logits)).toBeLessThan(1e-4);
      expect(
        relativeError(spatialMean((await run(withClassMap(classifier, size)))[CLASS_MAP]!).data, logits),
      ).toBeLessThan(1e-4);
      await rm(join(weights.folder, weights.file));
    });
  },
);

it('a file from which one net took its weights still has those of another', async () => {
  const file = join(folder, 'two-nets.h5');
  await writeKerasFile(file, { 'fc1/kernel': [3, 2], 'fc2/kernel': [2, 2] });
  const source = (layer: string, inputs: number) =>
    ({ name: layer, dims: [2, inputs], layer, index: 0, kernel: [1, 1, inputs, 2] }) as const;
  const stamp = await digestFile(file, Infinity);
  const convert = (...sources: ReturnType<typeof source>[]) =>
    convertKerasWeights({ file, sources, stamp, cache: folder }, { workerFile: WORKER_FILE });
  expect([...(await convert(source('fc1', 3))).tensors.keys()]).toEqual(['fc1']);
  expect([...(await convert(source('fc1', 3), source('fc2', 2))).tensors.keys()]).toEqual(['fc1', 'fc2']);
});
