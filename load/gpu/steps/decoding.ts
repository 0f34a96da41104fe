/** Decoding alone, on all cores: header, decode, resize to the input of a model. */
import { readConfig } from '../../../src/config.js';
import { measureDecode, askModel } from '../../parts.js';
import { readPhotos } from '../../photos.js';
import { compileModel } from '../../../src/models/compile.js';
import { folderOf, manifestOf } from '../models.js';
import type { StepContext } from '../step-task.js';

const SECONDS = 3;

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
  for (const [index, models] of [...inputs.values()].entries()) {
    if (context.left() <= 0) {
      context.note(`no time was left for ${models.join(', ')}`);
      continue;
    }
    const content = await folderOf(context, models[0]!);
    const model = await compileModel(content, { load: 1, cache: places.cache });
    const question = await askModel(config, model, 'classify', photos);
    const seconds = Math.min(SECONDS, Math.max(0.1, context.left() / (inputs.size - index)));
    const { signal } = new AbortController();
    // The first photographs load libvips.
    await measureDecode(config, question, 0, signal);
    const { user, system } = process.cpuUsage();
    const started = performance.now();
    const perSecond = await measureDecode(config, question, seconds, signal);
    const used = process.cpuUsage({ user, system });
    const images = (perSecond * (performance.now() - started)) / 1000;
    context.put({
      ...{ table: 'decode', key: models[0]!, models, perSecond },
      coreMs: (used.user + used.system) / 1000 / images,
    });
  }
}
