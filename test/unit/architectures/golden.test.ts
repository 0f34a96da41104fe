/**
 * The networks built here against torchvision and timm: real sessions on weights generated into a temporary folder. One
 * network at a time, its weights mapped from the file (VGG: half a gigabyte) and removed afterwards.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm } from '../../../src/architectures/index.js';
import type { Graph } from '../../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../../src/graph/pass.js';
import { addImageInput } from '../../../src/graph/passes/add-image-input.js';
import { bindWeights } from '../../../src/graph/passes/bind-weights.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../../src/graph/passes/convolutionalize-global-pool.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { writeGeneratedWeights } from '../../../src/models/generated-weights.js';
import { readSafetensors } from '../../../src/models/safetensors.js';
import { GOLDEN_NAMES, readGolden, type GoldenCase } from '../../support/golden.js';
import { openGraph, randomImage, runSession, spatialMean, type Value } from '../../support/ort.js';
import { hasShared, shared } from '../../support/shared.js';

const IMAGENET = {
  channels: 'RGB',
  range: 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
} as const;

const WEIGHTS = 'model.safetensors';

/** Bind the weights of `folder` and convolutionalize: the classifier and its class map, both on pixels. */
async function bind(built: Graph, folder: string, nativeSize: number): Promise<{ classifier: Graph; dense: Graph }> {
  const { tensors } = await readSafetensors(join(folder, WEIGHTS));
  const bound = applyPasses(built, [bindWeights({ file: WEIGHTS, tensors })]);
  const dense =
    applyPass(bound, convolutionalizeGlobalPool()) ?? applyPasses(bound, [convolutionalizeGemm(nativeSize)]);
  const [classifier, map] = [bound, dense].map((graph) => applyPasses(graph, [addImageInput(IMAGENET)]));
  return { classifier: classifier!, dense: map! };
}

async function runOn(graph: Graph, folder: string, cases: readonly GoldenCase[]): Promise<Record<string, Value>[]> {
  const session = await openGraph(graph, { folder });
  try {
    const results = [];
    for (const { height, width } of cases) {
      results.push(await runSession(session, { image: randomImage([1, height, width, 3]) }));
    }
    return results;
  } finally {
    await session.release();
  }
}

/** Largest difference over the largest absolute value: magnitudes grow with depth. */
function relativeError(actual: ArrayLike<number | bigint>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(Number(actual[i]) - value)), 0) / scale;
}

describe.each(GOLDEN_NAMES)('%s', (name) => {
  let folder: string;
  let graphs: { classifier: Graph; dense: Graph };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), `fullconv-golden-${name}-`));
    const built = buildArchitecture(name);
    await writeGeneratedWeights(join(folder, WEIGHTS), built);
    graphs = await bind(built, folder, nativeForm(name).inputSize);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has the logits of the reference', async () => {
    const cases = (await readGolden(name)).cases.filter(({ logits }) => logits !== undefined);
    const results = await runOn(graphs.classifier, folder, cases);
    for (const [index, { logits }] of cases.entries()) {
      expect(relativeError(results[index]!['logits']!.data, logits!)).toBeLessThan(1e-4);
    }
  });

  it('has the class map of the reference, at the native size and larger', async () => {
    const { cases } = await readGolden(name);
    const results = await runOn(graphs.dense, folder, cases);
    for (const [index, { map, logits }] of cases.entries()) {
      const found = results[index]![CLASS_MAP]!;
      expect(relativeError(spatialMean(found).data, map?.mean ?? logits!)).toBeLessThan(1e-4);
      if (map === undefined) continue;
      expect(found.dims).toEqual([1, ...map.shape]);
      const cells = map.shape[1] * map.shape[2];
      const planes = map.channels.flatMap((k) => Array.from(found.data.slice(k * cells, (k + 1) * cells), Number));
      expect(relativeError(planes, map.values.flat())).toBeLessThan(1e-4);
    }
  });

  it('has a class map of the inferred shape', async () => {
    for (const { height, width, map } of (await readGolden(name)).cases) {
      if (map === undefined) continue;
      const shapes = inferShapes(graphs.dense, { image: [1, height, width, 3] });
      expect(shapes.get(CLASS_MAP)).toEqual([1, ...map.shape]);
    }
  });
});

describe.skipIf(!hasShared)('the trained resnet18-w32', () => {
  const folder = hasShared ? shared('training', 'resnet18-w32') : '';
  const built = buildArchitecture('resnet18', { classes: 200, width: 32, stem: 'compact', inputSize: 64 });

  it('binds completely, and its class map averages to its logits at any size', async () => {
    const { classifier, dense } = await bind(built, folder, 64);
    const cases = [64, 97, 150].map((size) => ({ height: size, width: size + 13 }) as GoldenCase);
    const [logits, maps] = [await runOn(classifier, folder, cases), await runOn(dense, folder, cases)];
    for (const index of cases.keys()) {
      const mean = spatialMean(maps[index]![CLASS_MAP]!);
      expect(relativeError(mean.data, Array.from(logits[index]!['logits']!.data, Number))).toBeLessThan(1e-4);
    }
  });
});
