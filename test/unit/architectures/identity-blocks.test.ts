/**
 * A deeper plain net can compute what a shallower one computes: its further blocks are the identity if their kernels are,
 * because all values behind a ReLU are positive (He 2016a, section 1).
 */
import { expect, it } from 'vitest';
import { buildArchitecture, parametersOf, type ArchitectureName } from '../../../src/architectures/index.js';
import { BATCH_NORM_EPSILON } from '../../../src/architectures/layers.js';
import type { Graph } from '../../../src/graph/graph.js';
import { generatedValues } from '../../../src/models/networks/generated-weights.js';
import { randomTensor, relativeError, runGraph, withGeneratedWeights } from '../../support/ort.js';

/** A parameter of a layer that changes nothing. */
function identity(name: string, dims: readonly number[]): Float32Array {
  const [out = 0] = dims;
  if (dims.length === 1) {
    const scale = name.endsWith('bn1.weight') || name.endsWith('bn2.weight') ? Math.sqrt(1 + BATCH_NORM_EPSILON) : 1;
    return new Float32Array(out).fill(/weight$|running_var$/.test(name) ? scale : 0);
  }
  const kernel = new Float32Array(out * out * 9);
  for (let channel = 0; channel < out; channel += 1) kernel[(channel * out + channel) * 9 + 4] = 1;
  return kernel;
}

/** The net with generated weights, and the identity in the blocks that the shallower one lacks. */
function deepened(graph: Graph, shallow: Graph): Graph {
  const bound = parametersOf(graph).map(({ name, dims }) => {
    const values = shallow.initializers.has(name) ? generatedValues(name, dims) : identity(name, dims);
    const data = { kind: 'inline', bytes: new Uint8Array(values.buffer) } as const;
    return [name, { name, dims, dataType: 'float32', data }] as const;
  });
  return { ...graph, initializers: new Map([...graph.initializers, ...bound]) };
}

it.each<[ArchitectureName, ArchitectureName, number]>([
  ['plain18', 'plain34', 96],
  ['plain20_cifar', 'plain56_cifar', 32],
])('%s is in %s, by identity kernels', async (shallow, deep, side) => {
  const [short, long] = [buildArchitecture(shallow, { width: 8 }), buildArchitecture(deep, { width: 8 })];
  const input = randomTensor([2, 3, side, side]);
  const { logits: expected } = await runGraph(withGeneratedWeights(short), { input });
  const { logits } = await runGraph(deepened(long, short), { input });
  expect(relativeError(logits!.data, expected!.data)).toBeLessThan(1e-5);
  const { logits: generated } = await runGraph(withGeneratedWeights(long), { input });
  expect(relativeError(generated!.data, expected!.data)).toBeGreaterThan(1e-2);
});
