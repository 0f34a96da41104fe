/**
 * Decoding alone, on all cores: header, decode, resize to the input of a model. As the server decodes beside a GPU, and for the first
 * input in other ways, too: in one process, and in processes that decode fewer or more at a time.
 */
import { fileURLToPath } from 'node:url';
import { readConfig } from '../../../src/config.js';
import { createDecoders } from '../../../src/engine-process/decoders.js';
import { compileModel } from '../../../src/models/compile.js';
import { decodingProcesses, GPU } from '../../../src/runtime/device-policy.js';
import { askModel, measureDecode, type Question } from '../../parts.js';
import { readPhotos } from '../../photos.js';
import { processorSeconds } from '../../server-process.js';
import { folderOf, manifestOf } from '../models.js';
import type { DecodeRow } from '../report.js';
import type { StepContext } from '../step-task.js';

const SECONDS = 3;

/** Images that a process decodes at the same time, beside what the server's policy says. */
const OTHERS_EACH = [2, 8];

/** Built, beside the folder of the kit's own programs. */
const WORKER_FILE = fileURLToPath(new URL('../engine-process/main.js', import.meta.url));

export async function measureDecoding(context: StepContext): Promise<void> {
  const { settings, places } = context;
  const config = readConfig(process.env);
  const photos = await readPhotos(places.photos);
  /** Models by what their input takes of a photo. */
  const inputs = new Map<string, string[]>();
  for (const name of settings.models) {
    const { size, resize, interpolation, fit } = (await manifestOf(context, name)).input;
    const input = JSON.stringify([size, resize, interpolation, fit]);
    inputs.set(input, [...(inputs.get(input) ?? []), name]);
  }
  const served = decodingProcesses(GPU, config.decoders);
  const first = new Set([
    served,
    0,
    ...OTHERS_EACH.map((each) => decodingProcesses({ decodersEach: each }, config.decoders)),
  ]);
  const tasks = [...inputs.values()].flatMap((models, index) =>
    (index === 0 ? [...first] : [served]).map((processes) => ({ models, processes })),
  );
  const questions = new Map<string, Question>();
  for (const [index, { models, processes }] of tasks.entries()) {
    if (context.left() <= 0) {
      context.note(`no time was left for ${models.join(', ')} in ${processes} processes`);
      continue;
    }
    const [name] = models as [string];
    if (!questions.has(name)) {
      const model = await compileModel(await folderOf(context, name), { load: 1, cache: places.cache });
      questions.set(name, await askModel(config, model, 'classify', photos));
    }
    const seconds = Math.min(SECONDS, Math.max(0.1, context.left() / (tasks.length - index)));
    const figures = await measureOnce(context, questions.get(name)!, processes, seconds);
    const key = `${name} ${processes}`;
    context.put({ ...{ table: 'decode', key, models, processes, isServed: processes === served }, ...figures });
  }
}

async function measureOnce(
  context: StepContext,
  question: Question,
  processes: number,
  seconds: number,
): Promise<Pick<DecodeRow, 'perSecond' | 'coreMs' | 'threadMs'>> {
  const config = readConfig(process.env);
  const { decoders } = config;
  const decoding = processes === 0 ? undefined : { processes };
  const lost = ({ error }: { readonly error: Error }): void =>
    context.note(`a process that decodes died: ${error.message}`);
  const all = createDecoders({
    ...{ decoders, decoding, workerFile: WORKER_FILE, onLost: lost },
    // Each image says so.
    onNoneLeft: () => undefined,
  });
  const { signal } = new AbortController();
  const measure = (time: number): Promise<number> =>
    measureDecode(config, question, time, signal, (request) => all.decode(request));
  try {
    // The processes start, and the first photographs load libvips.
    await measure(0);
    const usedBefore = (await processorSeconds(process)) ?? NaN;
    const loop = performance.eventLoopUtilization();
    const started = performance.now();
    const perSecond = await measure(seconds);
    const { active } = performance.eventLoopUtilization(loop);
    const images = (perSecond * (performance.now() - started)) / 1000;
    const used = ((await processorSeconds(process)) ?? NaN) - usedBefore;
    return { perSecond, coreMs: (1000 * used) / images, threadMs: active / images };
  } finally {
    await all.drain();
  }
}
