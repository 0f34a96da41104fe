/**
 * Multi-ResNet, RoR, FractalNet and the recurrent ResNet against reference outputs beside the repository. The smallest of
 * them are in test/fixtures/golden too, where every engine runs them.
 */
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  buildArchitecture,
  nativeForm,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../src/architectures/index.js';
import { countParameters } from '../../../src/graph/cost.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { writeGeneratedWeights } from '../../../src/models/networks/generated-weights.js';
import { bindClassifier } from '../../support/bound.js';
import type { Golden } from '../../support/golden.js';
import { randomImage, relativeError, runGraph, spatialMean } from '../../support/ort.js';
import { hasShared, shared } from '../../support/shared.js';

const NETS: [file: string, architecture: ArchitectureName, options?: ArchitectureOptions][] = [
  ['multi_resnet29_k3_cifar10', 'multi_resnet_cifar', { depth: 29, k: 3 }],
  ['multi_resnet_basic20_k3_cifar10', 'multi_resnet_basic_cifar', { depth: 20, k: 3 }],
  ['multi_resnet34_k2_imagenet', 'multi_resnet34_k2'],
  ['ror3_56_cifar10', 'ror3_56_cifar'],
  ['ror3_56_cifar10_pytorchcv', 'ror3_56_cifar_pytorchcv'],
  ['ror3_56_cifar10_pytorchcv', 'ror3_cifar', { depth: 56, pooling: true }],
  ['ror3_110_cifar10', 'ror3_110_cifar'],
  ['ror3_wrn40_2_cifar10', 'ror3_wrn_cifar', { depth: 40, width: 32 }],
  ['fractalnet20_cifar10', 'fractalnet_cifar', { columns: 3 }],
  ['recurrent_resnet_t8_cifar10', 'recurrent_resnet_cifar', { steps: 8 }],
  ['recurrent_resnet_t8_shared_norm_cifar10', 'recurrent_resnet_cifar', { steps: 8, sharedNorms: true }],
];

describe.skipIf(!hasShared).each(NETS)('%s as %s', (file, architecture, options = {}) => {
  const built = buildArchitecture(architecture, options);

  it('has the parameters, the logits and the class map of the reference', async () => {
    const golden = JSON.parse(await readFile(shared('golden-lecture', `${file}.json`), 'utf8')) as Golden;
    expect(Object.fromEntries(parametersOf(built).map(({ name, dims }) => [name, dims]))).toEqual(golden.state);
    expect(countParameters(built)).toBe(golden.parameters);

    const folder = await mkdtemp(join(tmpdir(), 'fullconv-golden-'));
    try {
      const weights = join(folder, 'model.safetensors');
      await writeGeneratedWeights(weights, built);
      const { classifier, dense } = await bindClassifier(built, weights, nativeForm(architecture).inputSize);
      for (const { height, width, logits, map } of golden.cases) {
        const image = randomImage([1, height, width, 3]);
        const scores = (await runGraph(classifier, { image }, { folder }))['logits']!;
        const found = (await runGraph(dense, { image }, { folder }))[CLASS_MAP]!;
        expect(found.dims).toEqual([1, ...map!.shape]);
        const cells = map!.shape[1] * map!.shape[2];
        const planes = map!.channels.flatMap((k) => Array.from(found.data.slice(k * cells, (k + 1) * cells), Number));
        expect(relativeError(planes, map!.values.flat())).toBeLessThan(1e-4);
        expect(relativeError(spatialMean(found).data, map!.mean)).toBeLessThan(1e-4);
        expect(relativeError(scores.data, logits ?? map!.mean)).toBeLessThan(1e-4);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
