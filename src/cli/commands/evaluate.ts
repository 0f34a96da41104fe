/** `fullconv evaluate FOLDER`: top-1 and top-5 accuracy (evaluation/top-k.ts) of labelled images, and the calibration error. */
import type { Config } from '../../config.js';
import { chooseSamples, type Sample } from '../../evaluation/samples.js';
import { measureTopK } from '../../evaluation/top-k.js';
import { shortSide, type Fit } from '../../maps/input-plan.js';
import type { CompiledModel } from '../../models/compile.js';
import type { Service } from '../../app.js';
import { tellFailures } from '../files/tell-failures.js';
import { printRows, withService } from '../local-service.js';
import { startCountingBar } from '../terminal/counting-bar.js';

export interface EvaluateFlags {
  readonly model?: readonly string[];
  readonly size?: readonly number[];
  readonly fit?: Fit | undefined;
  readonly json?: boolean;
}

/** A line of the table. */
interface Evaluation {
  readonly model: string;
  readonly size: number;
  readonly images: number;
  readonly failed: number;
  readonly 'top-1 %': number;
  readonly 'top-5 %': number;
  readonly 'ECE %': number;
  readonly 'images/s': number;
}

export async function evaluateCommand(config: Config, folder: string, flags: EvaluateFlags): Promise<void> {
  const evaluations = await withService(config, async (service) => {
    const done: Evaluation[] = [];
    for (const name of flags.model ?? [undefined]) {
      await service.registry.use(name, async (model) => {
        const samples = await chooseSamples(folder, { classes: model.labels, model: model.manifest.name });
        for (const size of flags.size ?? [shortSide(model.manifest.input.size)]) {
          done.push(await evaluate(service, config, model, samples, size, flags.fit));
        }
      });
    }
    return done;
  });
  printRows(evaluations, flags.json);
}

async function evaluate(
  service: Service,
  config: Config,
  model: CompiledModel,
  samples: readonly Sample[],
  size: number,
  fit: Fit | undefined,
): Promise<Evaluation> {
  const { name } = model.manifest;
  const bar = startCountingBar(`${name} at ${size}`, samples.length);
  const classifier = { ...service, maxQueue: config.maxQueue };
  const { images, failures, top1, top5, calibrationError, seconds } = await measureTopK(classifier, model, samples, {
    ...{ size, fit, onDone: () => bar.increment() },
  }).finally(() => bar.stop());
  tellFailures(failures);
  return {
    ...{ model: name, size, images, failed: failures.length },
    'top-1 %': percentage(top1),
    'top-5 %': percentage(top5),
    'ECE %': percentage(calibrationError),
    'images/s': Math.round(images / seconds),
  };
}

function percentage(share: number): number {
  return Math.round(share * 10000) / 100;
}
