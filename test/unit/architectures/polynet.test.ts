/** The modules of PolyNet that no published net has, against those that the golden outputs hold. */
import { describe, expect, it } from 'vitest';
import { buildArchitecture, parametersOf } from '../../../src/architectures/index.js';
import type { Graph } from '../../../src/graph/graph.js';
import { generatedValues } from '../../../src/models/networks/generated-weights.js';
import { randomTensor, relativeError, runGraph, type Value } from '../../support/ort.js';

/** A narrow net whose second stage is one module of this kind. */
const netWith = (kind: string): Graph =>
  buildArchitecture('polynet', {
    classes: 7,
    width: 4,
    stageA: '1 x 2-way',
    stageB: `1 x ${kind}`,
    stageC: '1 x 2-way',
  });

/** The values of a parameter, given its name and dimensions. */
type Weights = (name: string, dims: readonly number[]) => Float32Array;

function withWeights(graph: Graph, weights: Weights): Graph {
  const bound = parametersOf(graph).map(({ name, dims }) => {
    const data = { kind: 'inline', bytes: new Uint8Array(weights(name, dims).buffer) } as const;
    return [name, { name, dims, dataType: 'float32', data }] as const;
  });
  return { ...graph, initializers: new Map([...graph.initializers, ...bound]) };
}

async function logitsOf(kind: string, weights: Weights): Promise<Value['data']> {
  const input = randomTensor([2, 3, 107, 107]);
  return (await runGraph(withWeights(netWith(kind), weights), { input }))['logits']!.data;
}

/** The generated weights, but for the normalization that ends one of the module's functions, which gives zeros. */
const without =
  (closing: string): Weights =>
  (name, dims) =>
    name.startsWith(`stage_b.0.${closing}.bn.`) && /(weight|bias)$/.test(name)
      ? new Float32Array(dims[0]!)
      : generatedValues(name, dims);

describe('a module of PolyNet', () => {
  it('of poly-2 is one of poly-3 whose third function gives nothing', async () => {
    const expected = await logitsOf('poly-3', without('conv2d_blocks.2'));
    expect(relativeError(await logitsOf('poly-2', generatedValues), expected)).toBeLessThan(1e-5);
    expect(relativeError(await logitsOf('poly-3', generatedValues), expected)).toBeGreaterThan(1e-2);
  });

  it('of mpoly-2 is one of poly-2 whose two functions have equal convolutions', async () => {
    const labels = ['1x1', '1x7', '7x1'];
    const shared: Weights = (name, dims) => {
      const alike = name
        .replace(/blocks\.\d\.path0\.(\d)\.conv/, (_, step: string) => `path0_${labels[Number(step)]}.conv`)
        .replace(
          /blocks\.(\d)\.path0\.(\d)\.bn/,
          (_, use, step: string) => `path0_${labels[Number(step)]}.bn_blocks.${use}`,
        )
        .replace(/blocks\.\d\.path1\.conv/, 'path1.conv')
        .replace(/blocks\.(\d)\.path1\.bn/, 'path1.bn_blocks.$1')
        .replace(/blocks\.(\d)\.conv2d\./, 'conv2d_blocks.$1.');
      return generatedValues(name.startsWith('stage_b.') ? alike : name, dims);
    };
    const expected = await logitsOf('poly-2', generatedValues);
    expect(relativeError(await logitsOf('mpoly-2', shared), expected)).toBeLessThan(1e-5);
    expect(relativeError(await logitsOf('2-way', shared), expected)).toBeGreaterThan(1e-2);
  });
});
