/**
 * The two parts of the service by themselves, with the service's own settings, on the cores that it has: the engine
 * with every worker busy and nothing else to do, and decoding with every decoder busy. What they leave of the cores is
 * the ceiling: an image costs 1/engine + 1/decode seconds of the whole machine, so no server can do more than
 * 1 / (1/engine + 1/decode) images a second.
 */
import pLimit from 'p-limit';
import type { Service } from '../src/app.js';
import type { Config } from '../src/config.js';
import { decodeInput } from '../src/inference/decode.js';
import { readImageHeader } from '../src/inference/image-header.js';
import type { ImageInput } from '../src/inference/infer.js';
import { planInput, type InputPlan } from '../src/inference/input-plan.js';
import { denseViews, type CompiledModel } from '../src/models/compile.js';
import type { Tensor } from '../src/tensor.js';
import type { MeasuredView } from './scenario.js';

const BATCHES = [1, 4, 8];

/** Images a second of the engine alone, by batch size. Heatmaps have the photos' own shapes and run one by one. */
export async function measureEngine(
  service: Service,
  model: CompiledModel,
  view: MeasuredView,
  plans: readonly InputPlan[],
  seconds: number,
): Promise<{ imagesPerSecond: number; batch: number }> {
  const batches = view === 'classify' ? BATCHES : [1];
  const results = [];
  for (const batch of batches) {
    results.push({
      batch,
      imagesPerSecond: await saturate(service, model, view, plans, batch, seconds / batches.length),
    });
  }
  return results.reduce((best, result) => (result.imagesPerSecond > best.imagesPerSecond ? result : best));
}

async function saturate(
  { pool, registry }: Service,
  model: CompiledModel,
  view: MeasuredView,
  plans: readonly InputPlan[],
  batch: number,
  seconds: number,
): Promise<number> {
  const { opened, release } = registry.lease(
    model,
    view === 'heatmap' ? denseViews(model).view() : model.classifyView(plans[0]!.crop),
  );
  const session = await opened;
  let images = 0;
  let next = 0;
  const started = performance.now();
  const end = started + seconds * 1000;
  async function keepBusy(): Promise<void> {
    do {
      const { width, height } = plans[next++ % plans.length]!.crop;
      const bytes = batch * height * width * 3;
      const feeds: Record<string, Tensor> = {
        image: {
          type: 'uint8',
          dims: [batch, height, width, 3],
          data: new Uint8Array(pool.acquireBuffer(bytes), 0, bytes).fill(117),
        },
      };
      if (view === 'heatmap') {
        const classes = new BigInt64Array(batch).fill(BigInt(model.labels.length));
        feeds['classes'] = { type: 'int64', dims: [batch, 1], data: classes };
      }
      await pool.run(session, feeds);
      images += batch;
    } while (performance.now() < end);
  }
  await Promise.all(Array.from({ length: pool.size }, keepBusy));
  release();
  return (images * 1000) / (performance.now() - started);
}

/** Images a second of decoding alone, header check included. */
export async function measureDecode(
  config: Config,
  model: CompiledModel,
  view: MeasuredView,
  photos: readonly ImageInput[],
  seconds: number,
): Promise<number> {
  const slots = pLimit(config.decoders);
  const { interpolation } = model.manifest.input;
  let images = 0;
  const started = performance.now();
  const end = started + seconds * 1000;
  async function keepBusy(_: unknown, position: number): Promise<void> {
    for (let next = position; performance.now() < end; next++) {
      const { bytes } = photos[next % photos.length]!;
      const header = await readImageHeader(bytes, config);
      const plan = planOf(view, model, header);
      await slots(() => decodeInput(bytes, header, plan, { interpolation, background: config.background }));
      images++;
    }
  }
  await Promise.all(Array.from({ length: config.decoders * 2 }, keepBusy));
  return (images * 1000) / (performance.now() - started);
}

/** The plans of the photos as the view's defaults make them. */
export async function plansOf(
  config: Config,
  model: CompiledModel,
  view: MeasuredView,
  photos: readonly ImageInput[],
): Promise<InputPlan[]> {
  return Promise.all(photos.map(async ({ bytes }) => planOf(view, model, await readImageHeader(bytes, config))));
}

function planOf(view: MeasuredView, model: CompiledModel, photo: { width: number; height: number }): InputPlan {
  const { size, resize } = model.manifest.input;
  return planInput(photo, { fit: view === 'classify' ? 'crop' : 'whole', size, resize, scale: 1 });
}
