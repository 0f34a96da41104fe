/**
 * The networks built here against the libraries that they come from, on the engine that npm brings, and some of each kind on the others: real
 * sessions on weights generated into a temporary folder. One network at a time, its weights mapped from the file (VGG: half a gigabyte)
 * and removed afterwards.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm } from '../../../src/architectures/index.js';
import { mapGeometry } from '../../../src/graph/geometry.js';
import type { Graph } from '../../../src/graph/graph.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { reduceOutputStride } from '../../../src/graph/passes/reduce-output-stride.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import type { Engine } from '../../../src/runtime/session.js';
import type { TensorMap } from '../../../src/tensor.js';
import { bindClassifier, type BoundClassifier } from '../../support/bound.js';
import { asFeeds, ENGINES, type TestedEngine } from '../../support/engines.js';
import { GOLDEN_NAMES, readGolden, writeGoldenWeights, type Golden, type GoldenCase } from '../../support/golden.js';
import { everyCell, randomImage, relativeError, spatialMean } from '../../support/ort.js';

const WEIGHTS = 'model.safetensors';

/**
 * One of each kind in its published width, on the engine that npm brings: which cells there are is the graph's. Every engine's are
 * in conformance/networks.test.ts, all families in reduce-output-stride.test.ts.
 */
const FINER: readonly string[] = [
  'resnet50',
  'vgg11',
  'densenet121',
  'inception_v3',
  'inception_v4',
  'squeezenet1_1',
  'tf_efficientnet_lite0',
];

/**
 * On TensorFlow.js' WebAssembly backend, which is several times slower than the others. All families in narrow widths are in
 * conformance/networks.test.ts.
 */
const ON_WASM: readonly string[] = [
  'resnet50',
  'resnext50_32x4d',
  'densenet121',
  'squeezenet1_1',
  'tf_efficientnet_lite0',
  'nin_cifar',
  'highway19_cifar',
];

/** On OpenVINO, which compiles each net anew: those, and heads and joints of other kinds. All families are there, too. */
const ON_OPENVINO: readonly string[] = [
  ...ON_WASM,
  'vgg16_bn',
  'googlenet',
  'inception_v3',
  'inception_v4',
  'preresnet50',
];

const FAST_ENGINES = ENGINES.filter(({ fast }) => fast);
const enginesFor = (name: string): readonly TestedEngine[] =>
  FAST_ENGINES.filter((engine) => {
    if (engine.name.includes('wasm')) return ON_WASM.includes(name);
    return engine.name !== 'openvino' || ON_OPENVINO.includes(name);
  });

describe.each(GOLDEN_NAMES)('%s', (name) => {
  let folder: string;
  let graphs: BoundClassifier;
  let golden: Golden;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), `fullconv-golden-${name}-`));
    const built = buildArchitecture(name);
    golden = await readGolden(name);
    await writeGoldenWeights(join(folder, WEIGHTS), built, golden);
    graphs = await bindClassifier(built, join(folder, WEIGHTS), nativeForm(name).inputSize);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has a class map of the inferred shape', () => {
    for (const { height, width, map } of golden.cases) {
      if (map === undefined) continue;
      const shapes = inferShapes(graphs.dense, { image: [1, height, width, 3] });
      expect(shapes.get(CLASS_MAP)).toEqual([1, ...map.shape]);
    }
  });

  describe.each(enginesFor(name))('on $name', ({ name: engineName, start, tolerance }) => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await start();
    });

    async function runOn(graph: Graph, cases: readonly GoldenCase[]): Promise<TensorMap[]> {
      const session = await engine.open({ id: name, model: writeOnnx(graph), weightsFolder: folder });
      try {
        const results = [];
        for (const { height, width } of cases) {
          results.push(await session.run(asFeeds({ image: randomImage([1, height, width, 3]) })));
        }
        return results;
      } finally {
        await session.release();
      }
    }

    /** What may differ: no less than the reference itself loses by rounding, twice, since both round. */
    const allowed = ({ rounding = 0 }: Golden): number => Math.max(tolerance, 2 * rounding);

    it('has the logits of the reference', async () => {
      const cases = golden.cases.filter(({ logits }) => logits !== undefined);
      const results = await runOn(graphs.classifier, cases);
      for (const [index, { logits }] of cases.entries()) {
        expect(relativeError(results[index]!['logits']!.data, logits!)).toBeLessThan(allowed(golden));
      }
    });

    it('has the class map of the reference, at the native size and larger', async () => {
      const { cases } = golden;
      const results = await runOn(graphs.dense, cases);
      for (const [index, { map, logits }] of cases.entries()) {
        const found = results[index]![CLASS_MAP]!;
        expect(relativeError(spatialMean(found).data, map?.mean ?? logits!)).toBeLessThan(allowed(golden));
        if (map === undefined) continue;
        expect(found.dims).toEqual([1, ...map.shape]);
        const cells = map.shape[1] * map.shape[2];
        const planes = map.channels.flatMap((k) => Array.from(found.data.slice(k * cells, (k + 1) * cells), Number));
        expect(relativeError(planes, map.values.flat())).toBeLessThan(allowed(golden));
      }
    });

    it.runIf(FINER.includes(name) && engineName === 'onnxruntime')(
      'has that class map within the finer ones',
      async () => {
        const last = golden.cases.at(-1)!;
        const coarse = (await runOn(graphs.dense, [last]))[0]![CLASS_MAP]!;
        for (const rate of [2, 4]) {
          const outputStride = mapGeometry(graphs.dense, CLASS_MAP).outputStride / rate;
          const fine = applyPasses(graphs.dense, [reduceOutputStride(outputStride)]);
          const map = everyCell(rate, (await runOn(fine, [last]))[0]![CLASS_MAP]!);
          expect(map.dims).toEqual(coarse.dims);
          expect(relativeError(map.data, coarse.data)).toBeLessThan(tolerance);
        }
      },
    );
  });
});
