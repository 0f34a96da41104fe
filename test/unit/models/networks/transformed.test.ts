/** A spatial transformer in front of a classifier, as a model folder has it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../../src/architectures/index.js';
import { readOnnx, writeOnnx } from '../../../../src/graph/onnx/model.js';
import { inferShapes } from '../../../../src/graph/shapes.js';
import { compileModel, denseViews, type CompiledModel } from '../../../../src/models/compile.js';
import { readModelFolder } from '../../../../src/models/manifest.js';
import { importClassifier } from '../../../../src/models/networks/import-classifier.js';
import { writeGeneratedWeights } from '../../../../src/models/networks/generated-weights.js';
import { withGeneratedWeights } from '../../../support/ort.js';
import { TINY_CLASSES, writeManifest } from '../../../support/tiny-models.js';

describe('a model with "architecture": "spatial_transformer"', () => {
  const options = { classifier: 'resnet18', width: 4, stem: 'compact', alignCorners: true };
  let root: string;
  let model: CompiledModel;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'fullconv-transformed-'));
    const weights = 'model.safetensors';
    const architecture = 'spatial_transformer';
    const folder = await writeManifest(root, { name: 'moved', architecture, options, weights: { file: weights } });
    const net = buildArchitecture(architecture, { ...options, classes: TINY_CLASSES, inputSize: 64 });
    await writeGeneratedWeights(join(folder, weights), net);
    model = await compileModel(await readModelFolder(folder), { load: 0, cache: root });
  });
  afterAll(() => rm(root, { recursive: true }));

  it('classifies at its own size, and refuses others', () => {
    expect(model.classifyView({ width: 64, height: 64 })).toBe(model.classifier);
    expect(() => model.classifyView({ width: 96, height: 96 })).toThrow('moved classifies only inputs of 64×64 pixels');
  });

  it('in an ONNX file classifies, and has no class map for the same reason', () => {
    const net = withGeneratedWeights(
      buildArchitecture('spatial_transformer', { ...options, classes: 5, inputSize: 64 }),
    );
    const { classifier, dense } = importClassifier(readOnnx(writeOnnx(net)), { size: 64, classes: 5 });
    expect(inferShapes(classifier, { input: [2, 3, 64, 64] }).get('logits')).toEqual([2, 5]);
    const why = 'unavailable' in dense ? dense.unavailable : '';
    expect(why).toMatch(/^node "transformer" \(GridSample\): the geometry .* own; a class map needs layers that keep/);
  });

  it('has no class map, and says why', () => {
    expect(() => denseViews(model)).toThrow(
      `moved has no class map: node "transformer" (GridSample): the geometry behind it is each image's own.`,
    );
  });
});
