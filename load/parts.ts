/**
 * Measures the two parts of the service by themselves, with the service's own settings and cores: the engine with every
 * worker busy and nothing else to do, and decoding with every decoder busy. `ceilingOf` (statistics.ts) says what both
 * together leave.
 */
import pLimit from 'p-limit';
import type { Service } from '../src/app.js';
import type { Config } from '../src/config.js';
import { decodeInput, type DecodeRequest } from '../src/images/decode.js';
import { readImageHeader } from '../src/images/image-header.js';
import type { ImageInput } from '../src/inference/infer.js';
import { planInput, type InputPlan } from '../src/maps/input-plan.js';
import { denseViews, type CompiledModel } from '../src/models/compile.js';
import type { View } from '../src/models/dense-views.js';
import type { Tensor } from '../src/tensor.js';
import type { MeasuredView } from './scenario.js';

/**
 * Repeat `work` on several lanes at once until the time is over, at least once on each. Returns how often a second all
 * lanes together did it. Rejects with the first failure, or with the signal's reason.
 */
export async function keepBusy(
  lanes: number,
  seconds: number,
  signal: AbortSignal,
  work: (turn: number) => Promise<void>,
): Promise<number> {
  let done = 0;
  let turn = 0;
  const started = performance.now();
  const end = started + seconds * 1000;
  async function lane(): Promise<void> {
    do {
      signal.throwIfAborted();
      await work(turn++);
      done++;
    } while (performance.now() < end);
  }
  // All lanes end before the first failure is thrown: nothing may still run when the workers are closed.
  const results = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return (done * 1000) / (performance.now() - started);
}

/** One model asked for one view of some photographs. */
export interface Question {
  readonly model: CompiledModel;
  readonly view: MeasuredView;
  readonly photos: readonly ImageInput[];
  /** One for each photograph. */
  readonly plans: readonly InputPlan[];
}

/** A question with the plans that the view's defaults make. */
export async function askFor(
  config: Config,
  { registry, policy }: Service,
  name: string,
  view: MeasuredView,
  photos: readonly ImageInput[],
): Promise<Question> {
  return askModel(config, registry.get(name), view, photos, policy.inputStep);
}

/** The same of a model that no service has. `step`: sides that follow from the photograph are multiples of it. */
export async function askModel(
  config: Pick<Config, 'maxPixels'>,
  model: CompiledModel,
  view: MeasuredView,
  photos: readonly ImageInput[],
  step = 1,
): Promise<Question> {
  const headers = await Promise.all(photos.map(({ bytes }) => readImageHeader(bytes, config)));
  return { model, view, photos, plans: headers.map((header) => planOf(view, model, header, step)) };
}

function planOf(
  view: MeasuredView,
  model: CompiledModel,
  photo: { width: number; height: number },
  step: number,
): InputPlan {
  const { size, resize } = model.manifest.input;
  return planInput(photo, { fit: view === 'classify' ? 'crop' : 'whole', size, resize, scale: 1, step });
}

/** The view of the network that answers the question. */
export function networkView({ model, view, plans }: Question): View {
  return view === 'heatmap' ? denseViews(model).view() : model.classifyView(plans[0]!.crop);
}

/** The fastest batch size. It is 1 for heatmaps: they have the photographs' own shapes and run one by one. */
export async function bestBatch(
  service: Service,
  question: Question,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  if (question.view === 'heatmap') return 1;
  const sizes = [1, 2, 4, 8, 16, 32, 64, 128].filter((size) => size <= service.limits.maxBatchSize);
  // The first runs are slower, and would count against the first size.
  await measureEngine(service, question, 1, 0, signal);
  const rates: { size: number; rate: number }[] = [];
  for (const size of sizes) {
    rates.push({ size, rate: await measureEngine(service, question, size, seconds / sizes.length, signal) });
  }
  return rates.reduce((best, each) => (each.rate > best.rate ? each : best)).size;
}

/** Images a second of the engine alone. */
export async function measureEngine(
  { pool, registry }: Service,
  question: Question,
  batch: number,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const { model, view, plans } = question;
  const { opened, release } = registry.lease(model, networkView(question));
  try {
    const session = await opened;
    const batches = await keepBusy(pool.size, seconds, signal, async (turn) => {
      const { width, height } = plans[turn % plans.length]!.crop;
      const bytes = batch * height * width * 3;
      const image: Tensor = {
        type: 'uint8',
        dims: [batch, height, width, 3],
        data: new Uint8Array(bytes).fill(117),
      };
      const best = new BigInt64Array(batch).fill(BigInt(model.labels.length));
      const classes: Tensor = { type: 'int64', dims: [batch, 1], data: best };
      await pool.run(session, [{ batch: view === 'heatmap' ? { image, classes } : { image } }]);
    });
    return batches * batch;
  } finally {
    release();
  }
}

/** Images a second of decoding alone, header check included. `decode`: in its turn; default: in this process. */
export async function measureDecode(
  config: Config,
  { model, photos, plans }: Question,
  seconds: number,
  signal: AbortSignal,
  decode: (request: DecodeRequest) => Promise<Uint8Array> = inTurn(config),
): Promise<number> {
  const { interpolation } = model.manifest.input;
  return keepBusy(config.decoders * 2, seconds, signal, async (turn) => {
    const { bytes } = photos[turn % photos.length]!;
    const header = await readImageHeader(bytes, config);
    const plan = plans[turn % plans.length]!;
    const photo = { bytes, header };
    await decode({ photo, input: plan, mirrored: false, interpolation, background: config.background });
  });
}

function inTurn({ decoders }: Config): (request: DecodeRequest) => Promise<Uint8Array> {
  const turns = pLimit(decoders);
  return (request) => turns(() => decodeInput(request));
}
