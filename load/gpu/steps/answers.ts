/**
 * Whether a device computes what it should: the reference networks' golden outputs, and the logits of the embedded models for
 * photographs, held against the CPU's in single precision.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isArchitecture } from '../../../src/architectures/index.js';
import { coreCount } from '../../../src/cores.js';
import { LOGITS } from '../../../src/graph/passes/name-logits.js';
import { decodeInput } from '../../../src/images/decode.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { compileModel, denseViews, usualView, type CompiledModel } from '../../../src/models/compile.js';
import type { ModelFolder } from '../../../src/models/manifest.js';
import { generatedUniform } from '../../../src/models/networks/generated-weights.js';
import { DEFAULT_ENGINE } from '../../../src/runtime/engines.js';
import type { Engine, SessionSpec } from '../../../src/runtime/session.js';
import { expectTensor, type Tensor, type TensorMap } from '../../../src/tensor.js';
import { askModel } from '../../parts.js';
import { readPhotos } from '../../photos.js';
import { compileFor, embeddedModels, folderOf } from '../models.js';
import { BOUNDS, howToCompute } from '../numbers.js';
import { partsOf } from '../plan.js';
import type { AnswerRow } from '../report.js';
import { reasonOf, type StepContext } from '../step-task.js';

const BACKGROUND = { r: 255, g: 255, b: 255 };
const MAX_PIXELS = 50_000_000;

/** The golden files, as test/fixtures/golden/README.md describes them. */
interface Golden {
  readonly rounding?: number;
  readonly cases: readonly {
    readonly height: number;
    readonly width: number;
    readonly logits?: readonly number[];
    readonly map?: { readonly channels: readonly number[]; readonly values: readonly (readonly number[])[] };
  }[];
}

export async function measureAnswers(context: StepContext): Promise<void> {
  const { device, numbers } = context;
  const { engine: description, kind } = partsOf(device!);
  const base = { table: 'answer', device: device!, numbers: numbers! } as const;
  const how = howToCompute(description, kind, numbers!);
  if ('cannot' in how) {
    context.put({ ...base, key: `${device} ${numbers}`, against: undefined, model: 'all', failure: how.cannot });
    context.skip(how.cannot);
    return;
  }
  const engine = await description.load({ threads: coreCount(), device: { kind, index: 0 } });
  const reference = await DEFAULT_ENGINE.load({ threads: coreCount(), device: { kind: 'cpu', index: 0 } });
  const compare = async (
    model: string,
    against: 'golden' | 'photographs',
    measure: () => Promise<Pick<AnswerRow, 'error' | 'bound' | 'sameBest'>>,
  ): Promise<void> => {
    const row = { ...base, key: `${device} ${numbers} ${against} ${model}`, against, model };
    try {
      context.put({ ...row, ...(await measure()) });
    } catch (error) {
      context.put({ ...row, failure: reasonOf(error) });
    }
  };
  const embedded = await embeddedModels(context);
  const goldens = await goldensOf(context);
  // The default model and the net that everybody knows first.
  const works = [
    ...embedded.map((content) => ({
      name: content.manifest.name,
      work: () =>
        compare(content.manifest.name, 'photographs', () => onPhotographs(context, content, engine, reference)),
    })),
    ...goldens.map((name) => ({
      name,
      work: () => compare(name, 'golden', () => againstGolden(context, name, engine)),
    })),
  ];
  const left: string[] = [];
  for (const { name, work } of works) {
    if (context.left() <= 0) left.push(name);
    else {
      context.begin(name);
      await work();
    }
  }
  if (left.length > 0) context.note(`no time was left for ${left.join(', ')}`);
}

async function goldensOf({ places, settings }: StepContext): Promise<string[]> {
  const files = await readdir(places.goldens).catch(() => []);
  const there = files
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .filter(isArchitecture);
  const wanted: readonly string[] = settings.goldens.length > 0 ? settings.goldens : there;
  const first = settings.models;
  const rank = (name: string): number => (first.includes(name) ? first.indexOf(name) : first.length);
  return there.filter((name) => wanted.includes(name)).sort((a, b) => rank(a) - rank(b));
}

async function onPhotographs(
  context: StepContext,
  content: ModelFolder,
  engine: Engine,
  reference: Engine,
): Promise<Pick<AnswerRow, 'error' | 'bound' | 'sameBest'>> {
  const images = await decodedFor(context, content);
  const expected = await logitsOf(
    reference,
    await compileModel(content, { load: 1, cache: context.places.cache }),
    images,
  );
  const found = await logitsOf(engine, await compileFor(context, content), images);
  const same = found.filter((logits, index) => best(logits) === best(expected[index]!)).length;
  return {
    error: Math.max(...found.map((logits, index) => relativeError(logits, expected[index]!))),
    bound: BOUNDS[context.numbers!],
    sameBest: [same, found.length],
  };
}

async function decodedFor({ places }: StepContext, content: ModelFolder): Promise<Tensor<'uint8'>[]> {
  const photos = await readPhotos(places.photos);
  const model = await compileModel(content, { load: 1, cache: places.cache });
  const { plans } = await askModel({ maxPixels: MAX_PIXELS }, model, 'classify', photos);
  const images: Tensor<'uint8'>[] = [];
  for (const [index, { bytes }] of photos.entries()) {
    const input = plans[index]!;
    const photo = { bytes, header: await readImageHeader(bytes, { maxPixels: MAX_PIXELS }) };
    const { interpolation } = content.manifest.input;
    const data = await decodeInput({ photo, input, interpolation, background: BACKGROUND });
    images.push({ type: 'uint8', dims: [1, input.crop.height, input.crop.width, 3], data });
  }
  return images;
}

async function logitsOf(
  engine: Engine,
  model: CompiledModel,
  images: readonly Tensor<'uint8'>[],
): Promise<Float32Array[]> {
  return inSession(engine, usualView(model).session, async (run) => {
    const logits: Float32Array[] = [];
    // A run takes the buffer.
    for (const image of images) {
      const outputs = await run({ image: { ...image, data: image.data.slice() } });
      logits.push(expectTensor(outputs, LOGITS, 'float32').data);
    }
    return logits;
  });
}

async function againstGolden(
  context: StepContext,
  name: string,
  engine: Engine,
): Promise<Pick<AnswerRow, 'error' | 'bound'>> {
  const golden = JSON.parse(await readFile(join(context.places.goldens, `${name}.json`), 'utf8')) as Golden;
  const model = await compileFor(context, await folderOf(context, name));
  const errors: number[] = [];
  for (const { height, width, logits, map } of golden.cases) {
    const image = noise(height, width);
    if (logits !== undefined) {
      const [found] = await logitsOf(engine, model, [image]);
      errors.push(relativeError(found!, logits));
    }
    if (map === undefined) continue;
    const classes: Tensor = {
      ...{ type: 'int64', dims: [1, map.channels.length] },
      data: BigInt64Array.from(map.channels, BigInt),
    };
    const found = await inSession(engine, denseViews(model).view().session, (run) => run({ image, classes }));
    errors.push(relativeError(expectTensor(found, 'class_logits', 'float32').data, map.values.flat()));
  }
  // No less than the reference itself loses by rounding, twice, since both round.
  return { error: Math.max(...errors), bound: Math.max(BOUNDS[context.numbers!], 2 * (golden.rounding ?? 0)) };
}

/** The image of the goldens, uint8 `[1, h, w, 3]`. */
function noise(height: number, width: number): Tensor<'uint8'> {
  const values = generatedUniform('image', height * width * 3);
  return {
    ...{ type: 'uint8', dims: [1, height, width, 3] },
    data: Uint8Array.from(values, (u) => Math.floor(128 + 127 * u)),
  };
}

async function inSession<T>(
  engine: Engine,
  { digest: _, ...spec }: SessionSpec,
  work: (run: (feeds: TensorMap) => Promise<TensorMap>) => Promise<T>,
): Promise<T> {
  const session = await engine.open(spec);
  try {
    return await work((feeds) => session.run(feeds));
  } finally {
    await session.release();
  }
}

/** Largest difference over the largest expected absolute value; NaN where a value is no number. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return NaN;
  let [difference, largest] = [0, 0];
  for (let index = 0; index < expected.length; index += 1) {
    difference = Math.max(difference, Math.abs(actual[index]! - expected[index]!));
    largest = Math.max(largest, Math.abs(expected[index]!));
  }
  return difference / largest;
}

function best(logits: Float32Array): number {
  return logits.reduce((most, value, index) => (value > logits[most]! ? index : most), 0);
}
