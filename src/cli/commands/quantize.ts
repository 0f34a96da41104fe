/**
 * `fullconv quantize MODEL --images FOLDER`: makes an 8-bit integer model, calibrated on images. The images are
 * decoded, resized and cut as those of requests are, by the model's own preset.
 */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { SingleBar } from 'cli-progress';
import pLimit from 'p-limit';
import type { EngineRoom } from '../../app.js';
import type { Config } from '../../config.js';
import { OperatorError, ServiceError, UsageError } from '../../errors.js';
import { isFile, isTaken } from '../../files.js';
import { createInference } from '../../inference/infer.js';
import { finishNetwork, loadNetwork, usualView } from '../../models/compile.js';
import type { View } from '../../models/dense-views.js';
import { stampModelFile } from '../../models/files/file-access.js';
import { LoadedModel } from '../../models/loaded-model.js';
import { MANIFEST_FILE, readModelFolder, type ModelFolder } from '../../models/manifest.js';
import { checkHoldsModels } from '../../models/model-folders.js';
import type { Network } from '../../models/networks/network.js';
import type { CalibrationImages } from '../../models/quantize/calibrate.js';
import type { Clipping } from '../../models/quantize/clipping.js';
import { quantizeModel } from '../../models/quantize/quantize-model.js';
import { writeQuantizedModel } from '../../models/quantize/write-model.js';
import { prepareUntrained } from '../../models/networks/untrained.js';
import { localContext } from '../../inference/request-context.js';
import { readImage } from '../../evaluation/image-file.js';
import { chooseImages } from '../../evaluation/samples.js';
import { withEngineRoom } from '../local-service.js';
import { megabytes } from '../terminal/transfer-bar.js';

export interface QuantizeFlags {
  readonly images: string;
  readonly count: number;
  readonly as?: string;
  readonly clip?: Clipping;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** The least share of images whose first class must stay the same. Below it the model has become another one. */
const LEAST_AGREEMENT = 0.95;

export async function quantizeCommand(config: Config, name: string, flags: QuantizeFlags): Promise<void> {
  await checkHoldsModels(config.models);
  const content = await findModel(config, name);
  const target = flags.as ?? `${content.manifest.name}-int8`;
  if (!/^[a-z0-9][a-z0-9._-]{0,99}$/i.test(target)) throw new UsageError(`"${target}" is not a valid model name`);
  if (!flags.force && (await isTaken(join(config.models, target)))) {
    throw new OperatorError(`There is a model "${target}" already; --as gives another name, --force replaces it.`);
  }
  const files = await chooseImages(flags.images, flags.count);
  const network = await loadNetwork(content, config.cache);
  // Every intermediate value leaves the session, so a batch of more than one image would take too much memory.
  const quantized = await withEngineRoom({ ...config, maxBatch: 1 }, async (room) =>
    quantizeModel(content, network, {
      cache: config.cache,
      runner: {
        open: (spec) => room.pool.open(spec),
        close: (id) => room.pool.close(id),
        async run(id, batch) {
          const { outcomes } = await room.pool.run(id, [{ batch }]);
          const [outcome] = outcomes;
          if (outcome === undefined || 'error' in outcome) throw outcome?.error ?? new Error('nothing was run');
          return outcome.output;
        },
      },
      images: await calibrationImages(room, config, { content, network, files }),
      ...(flags.clip === undefined ? {} : { clipping: flags.clip }),
    }),
  );
  const { images, agreement, logitError } = quantized.figures;
  const figures =
    `on ${images} images the first class is the same for ${percent(agreement)}, ` +
    `and a logit is off by ${percent(logitError)} of the mean`;
  if (agreement < LEAST_AGREEMENT && !flags.force) {
    throw new OperatorError(
      `${content.manifest.name} changes too much in 8-bit integers: ${figures}. At least ` +
        `${percent(LEAST_AGREEMENT)} of the first classes must stay the same; --force writes the model anyway.`,
    );
  }
  const folder = await writeQuantizedModel(config.models, target, content, quantized);
  if (flags.json) {
    const { integerPart, bytes } = quantized;
    const facts = { name: target, folder, bytes: bytes.length, integerPart, ...quantized.figures };
    process.stdout.write(JSON.stringify(facts) + '\n');
    return;
  }
  process.stdout.write(
    `${target}: ${figures}\n` +
      `  in integers  ${percent(quantized.integerPart)} of the multiply-adds\n` +
      `  weights      ${megabytes(quantized.bytes.length)}\n` +
      `  in           ${folder}\n`,
  );
}

/** Finds a model of the folder of models, an architecture that is served untrained, or any other model folder. */
async function findModel({ models, untrained, cache }: Config, name: string): Promise<ModelFolder> {
  const architecture = untrained.find((each) => name === `${each}-untrained`);
  if (architecture !== undefined) return readModelFolder(await prepareUntrained(cache, architecture));
  for (const folder of [join(models, name), resolve(name)]) {
    if (await isFile(join(folder, MANIFEST_FILE))) return readModelFolder(folder);
  }
  throw new UsageError(`There is no model "${name}" in ${models}, and no such model folder.`);
}

interface Calibration {
  readonly content: ModelFolder;
  readonly network: Network;
  readonly files: readonly string[];
}

/** The files, prepared by the model's own preset. `run` sends them through the given session. */
async function calibrationImages(
  { batcher, pool }: EngineRoom,
  config: Config,
  { content, network, files }: Calibration,
): Promise<CalibrationImages> {
  const model = finishNetwork(content, network, { load: 0 });
  const digests = await Promise.all(files.map(async (file) => (await stampModelFile(file)).sha256));
  return {
    count: files.length,
    digest: createHash('sha256').update(digests.join('\n')).digest('hex'),
    async run(session, onOutputs) {
      const view: View = { ...model.classifier, session, check: () => undefined };
      const { width, height } = model.nativeSize;
      // Where the model's own size is for the sliding classifier, the net by itself takes its native size.
      const isOwnSize = usualView(model) === model.classifier;
      const request = {
        model,
        viewFor: () => view,
        input: { scales: [1], flip: false, size: isOwnSize ? undefined : Math.min(width, height) },
      } as const;
      const load = new LoadedModel(model, pool);
      const { background } = config;
      const lease = (_: unknown, of: Pick<View, 'session'>) => load.lease(of);
      const inference = createInference({ batcher, lease, limits: config, background, observe: () => undefined });
      const slots = pLimit(2 * pool.size);
      const bar = new SingleBar({
        format: `${session.id} {bar} {percentage}% | {value}/{total}`,
        stream: process.stderr,
      });
      bar.start(files.length, 0);
      try {
        await slots.map(files, async (file, index) => {
          const image = await readImage(file);
          try {
            const { answer } = await inference.answer(
              image,
              { ...request, read: (outputs) => outputs, combine: ([outputs]) => outputs! },
              localContext,
            );
            onOutputs(answer, index);
          } catch (error) {
            if (error instanceof ServiceError) throw new OperatorError(`${file}: ${error.message}`, { cause: error });
            throw error;
          }
          bar.increment();
        });
      } finally {
        bar.stop();
        slots.clearQueue();
        await load.close();
      }
    },
  };
}

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
