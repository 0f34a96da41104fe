import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { embedPlain } from '../../../src/experiments/embed-plain.js';
import { identity } from '../../../src/experiments/identity.js';
import type { Lab } from '../../../src/experiments/lab.js';
import { writeGeneratedWeights } from '../../../src/models/networks/generated-weights.js';
import { testLab } from '../../support/lab.js';
import { expectClose, randomTensor, runGraph } from '../../support/ort.js';
import { narrowNet, CLASSES } from '../../support/tiny-graphs.js';
import { TINY_CLASSES, writeManifest } from '../../support/tiny-models.js';

let root: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-identity-'));
  for (const [name, options] of [
    ['narrow', { width: 8 }],
    ['elus', { width: 8, activation: 'elu' }],
  ] as const) {
    const weights = 'model.safetensors';
    const folder = await writeManifest(root, { name, architecture: 'plain18', options, weights: { file: weights } });
    await writeGeneratedWeights(
      join(folder, weights),
      buildArchitecture('plain18', { ...options, classes: TINY_CLASSES }),
    );
  }
  lab = testLab({ FULLCONV_MODELS: root, FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

describe('identity', () => {
  it('plain-34 with identity kernels gives the logits of plain-18', async () => {
    const { data } = await identity(lab, { model: ['narrow'] });
    expect(data.shallow.architecture).toBe('plain18');
    expect(data.deep.architecture).toBe('plain34');
    expect(data.identities).toHaveLength(16);
    expect(data.identities).toContain('layer3.5.conv2');
    expect(data.largest).toBeGreaterThan(0.01);
    expect(data.difference).toBeLessThan(1e-5 * Math.max(1, data.largest));
  });

  it('refuses nets that it cannot be shown with', async () => {
    await expect(identity(lab, { model: ['elus'] })).rejects.toThrow('elu is not the identity on what it gives');
    await expect(identity(lab, { model: ['narrow', 'elus'] })).rejects.toThrow('looks at one model');
  });
});

describe('embedPlain', () => {
  const shallow = narrowNet('plain18');
  const deep = buildArchitecture('plain34', { width: 8, classes: CLASSES });

  it('needs its kernels: with others the logits differ', async () => {
    const { graph } = embedPlain(shallow, deep);
    const input = randomTensor([2, 3, 64, 64]);
    const expected = (await runGraph(shallow, { input }))['logits']!;
    expectClose((await runGraph(graph, { input }))['logits'], expected);
    const name = 'identity.8x8x3x3';
    const kernel = graph.initializers.get(name)!;
    const zero = { ...kernel, data: { kind: 'inline', bytes: new Uint8Array(8 * 8 * 9 * 4) } as const };
    const broken = { ...graph, initializers: new Map([...graph.initializers, [name, zero]]) };
    const actual = (await runGraph(broken, { input }))['logits']!;
    expect(() => expectClose(actual, expected)).toThrow();
  });

  it('refuses a layer that changes the shape', () => {
    const wider = buildArchitecture('plain34', { width: 16, classes: CLASSES });
    const nothing = { ...shallow, initializers: new Map() };
    expect(() => embedPlain(nothing, wider)).toThrow('node "conv1" (Conv): has no identity');
  });
});
