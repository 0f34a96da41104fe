import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nativeForm } from '../../../../src/architectures/index.js';
import { ints } from '../../../../src/graph/attributes.js';
import { graphBuilder } from '../../../../src/graph/build.js';
import { halfBits } from '../../../../src/graph/constants.js';
import { effectiveOffset } from '../../../../src/graph/effective-centre.js';
import { mapGeometry } from '../../../../src/graph/geometry.js';
import type { Graph, Initializer, InitializerData } from '../../../../src/graph/graph.js';
import { CLASS_MAP } from '../../../../src/graph/passes/convolutionalize-gemm.js';
import { loadNetwork } from '../../../../src/models/compile.js';
import { readKernelCentres } from '../../../../src/models/networks/kernel-centres.js';
import { readModelFolder } from '../../../../src/models/manifest.js';
import { withClassMap } from '../../../support/class-map.js';
import { EACH_BLOCK, narrowNet } from '../../../support/tiny-graphs.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-centres-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** One convolution with a kernel of 2 output and 1 input channels over 3 rows and 2 columns, however it is stored. */
function net(weight: Omit<Initializer, 'name'>): Graph {
  const b = graphBuilder({ name: 'net' });
  const x = b.input('x', 'float32', ['N', 1, 'H', 'W']);
  const y = b.node('Conv', [x, b.parameter('w', [2, 1, 3, 2])], { attributes: { kernel_shape: ints(3, 2) } });
  const graph = b.finish([{ name: y, dataType: 'float32', dims: ['N', 2, 'h', 'w'] }]);
  return { ...graph, initializers: new Map([['w', { name: 'w', ...weight }]]) };
}

/** Energy 1, 4 and 9 in the rows, and 13 to 1 in the columns of the first channel; the second is nothing. */
const VALUES = [1, 0, 2, 0, 3, 1, 0, 0, 0, 0, 0, 0];
const ENERGY = 15;
const CENTRE = [(0 * 1 + 1 * 4 + 2 * 10) / ENERGY - 1, 1 / ENERGY - 0.5] as const;
/** [O, I, kH, kW] as [kH, kW, I, O]. */
const AS_KERAS = Array.from({ length: 12 }, (_, index) => {
  const [row, column, out] = [Math.floor(index / 4), Math.floor(index / 2) % 2, index % 2];
  return VALUES[out * 6 + row * 2 + column]!;
});

const inline = (values: ArrayBufferView): InitializerData => ({
  kind: 'inline',
  bytes: new Uint8Array(values.buffer as ArrayBuffer),
});

describe('readKernelCentres', () => {
  const dims = [2, 1, 3, 2];
  const external = { kind: 'external', file: 'weights', offset: 4 } as const;
  const forms: [string, Omit<Initializer, 'name'>, ArrayBufferView?][] = [
    ['inline', { dataType: 'float32', dims, data: inline(Float32Array.from(VALUES)) }],
    ['in a file', { dataType: 'float32', dims, data: { ...external, length: 48 } }, Float32Array.from(VALUES)],
    [
      'in half precision',
      { dataType: 'float32', dims, data: { ...external, length: 24, storedAs: 'float16' } },
      Uint16Array.from(VALUES, halfBits),
    ],
    [
      'with channels last, as Keras writes them',
      {
        dataType: 'float32',
        dims,
        data: { ...external, length: 48, arrangement: { dims: [3, 2, 1, 2], perm: [3, 2, 0, 1] } },
      },
      Float32Array.from(AS_KERAS),
    ],
    ['in integers', { dataType: 'int8', dims, data: inline(Int8Array.from(VALUES)) }],
  ];

  it.each(forms)('reads a kernel that lies %s', async (_, weight, file) => {
    if (file !== undefined) {
      await writeFile(join(folder, 'weights'), Buffer.concat([Buffer.alloc(4), Buffer.from(file.buffer)]));
    }
    const [y, x] = (await readKernelCentres(net(weight), folder)).get('w')!;
    expect(y.value).toBeCloseTo(CENTRE[0], 6);
    expect(x.value).toBeCloseTo(CENTRE[1], 6);
    // 1 in row −1 and 9 + 1 in row 1, where it is two numbers; the columns have 1 in one, 14 in the other.
    expect(y.variance).toBeCloseTo((1 + 81 + 1) / ENERGY ** 2, 6);
    expect(x.variance).toBeCloseTo((1 + 16 + 81 + 1) / 4 / ENERGY ** 2, 6);
  });

  it('knows nothing of a kernel of zeros, without weights, or that is no number', async () => {
    const values = (value: number) => inline(Float32Array.from({ length: 12 }, () => value));
    for (const data of [values(0), values(NaN), values(Infinity), { kind: 'unbound' } as const]) {
      expect(await readKernelCentres(net({ dataType: 'float32', dims, data }), folder)).toEqual(new Map());
    }
  });

  it.each(EACH_BLOCK)('changes nothing of an untrained %s', async (name, options) => {
    const graph = withClassMap(narrowNet(name, options), nativeForm(name).inputSize);
    const map = graph.outputs[0]!.name;
    const centres = await readKernelCentres(graph, folder);
    expect(centres.size).toBeGreaterThan(0);
    expect(effectiveOffset(graph, map, centres)).toBe(mapGeometry(graph, map).offset);
  });

  // Measured on the first as the centroid of the gradient's squares over ten photographs, by the original implementation:
  // 18 ± 2. The middle between two cells' corners, where a map would look that was drawn by eye, is 16, and 8.
  it.each([
    ['imagenet-efficientnet-lite0', 31.5, 16.85],
    ['tinyimagenet-resnet18-w48', 0.5, 6],
    ['tinyimagenet-vgg11bn-w32', 32, 32],
  ])('finds where %s looks', async (model, middle, looks) => {
    const models = fileURLToPath(new URL(`../../../../models/${model}`, import.meta.url));
    const { dense } = await loadNetwork(await readModelFolder(models), folder);
    if ('unavailable' in dense) throw new Error(dense.unavailable);
    expect(mapGeometry(dense.graph, CLASS_MAP).offset).toBe(middle);
    expect(effectiveOffset(dense.graph, CLASS_MAP, dense.kernelCentres!)).toBe(looks);
  });
});
