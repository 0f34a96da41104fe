/** The embedded models, opened as the server opens them, on every engine: all their views, batches and sizes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileModel, denseViews, type CompiledModel } from '../../src/models/compile.js';
import { readModelFolder } from '../../src/models/manifest.js';
import { createOnnxruntimeEngine } from '../../src/runtime/onnxruntime/engine.js';
import type { Engine, SessionSpec } from '../../src/runtime/session.js';
import { ENGINES, runOn } from '../support/engines.js';
import { randomImage, relativeError, type Value } from '../support/ort.js';

const MODELS = fileURLToPath(new URL('../../models/', import.meta.url));
const EMBEDDED = ['imagenet-efficientnet-lite0', 'tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32'];

let cache: string;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'fullconv-conformance-'));
});
afterAll(() => rm(cache, { recursive: true }));

describe.each(ENGINES)('$name', ({ start, tolerance, fast }) => {
  const reference = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 } });
  let engine: Engine;
  beforeAll(async () => {
    engine = await start();
  });

  async function compare(spec: SessionSpec, feeds: Readonly<Record<string, Value>>): Promise<void> {
    const [found, expected] = [await runOn(engine, spec, feeds), await runOn(reference, spec, feeds)];
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { type, dims, data }] of Object.entries(expected)) {
      expect(found[name]).toMatchObject({ type, dims });
      if (type === 'int64') expect(found[name]!.data, name).toEqual(data);
      else expect(relativeError(found[name]!.data, data), name).toBeLessThan(tolerance);
    }
  }

  describe.each(EMBEDDED)('%s', (name) => {
    let model: CompiledModel;
    beforeAll(async () => {
      model = await compileModel(await readModelFolder(join(MODELS, name)), { load: 1, cache });
    });

    it('classifies, alone and in batches', async () => {
      for (const batch of fast ? [1, 3] : [2]) {
        await compare(model.classifier.session, { image: randomImage([batch, 64, 64, 3]) });
      }
    });

    it.runIf(fast)('classifies images that are larger, and neither square nor a multiple of its stride', async () => {
      for (const [height, width] of [
        [96, 128],
        [71, 109],
      ] as const) {
        await compare(model.classifyView({ width, height }).session, { image: randomImage([2, height, width, 3]) });
      }
    });

    it('gives maps at every output stride and edge, of classes by index and by rank', async () => {
      const views = denseViews(model);
      const feeds = {
        image: randomImage(fast ? [2, 75, 90, 3] : [2, 64, 70, 3]),
        classes: { dims: [2, 3], data: BigInt64Array.of(5n, 200n, 201n, 7n, 199n, 231n) },
      };
      const forms = views.outputStrides.flatMap((outputStride) => views.edges.map((edge) => ({ outputStride, edge })));
      expect(forms).toHaveLength(6);
      for (const form of fast ? forms : forms.slice(1, 2)) await compare(views.view(form).session, feeds);
    });
  });
});
