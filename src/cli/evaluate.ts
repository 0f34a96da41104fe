/**
 * `fullconv evaluate FOLDER`: top-1 and top-5 accuracy through the same decoding, resizing and engine that requests
 * take. Three layouts are understood: Tiny ImageNet's (`val_annotations.txt` beside `images/`), one folder for each
 * class named by its id, and files with the class id in their names.
 */
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { SingleBar } from 'cli-progress';
import pLimit from 'p-limit';
import type { Config } from '../config.js';
import { classify, type ClassifyOptions } from '../inference/classify.js';
import type { Fit } from '../inference/input-plan.js';
import type { Label } from '../models/manifest.js';
import { formatTable, localContext, readImage, withService } from './local-service.js';

export interface EvaluateFlags {
  readonly model?: readonly string[];
  readonly size?: readonly number[];
  readonly fit: Fit;
  readonly json?: boolean;
}

interface Sample {
  readonly file: string;
  readonly classIndex: number;
}

const IMAGE_EXTENSIONS = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.avif', '.tif', '.tiff']);

export async function evaluateCommand(config: Config, folder: string, flags: EvaluateFlags): Promise<void> {
  const rows = await withService(config, async ({ registry, inference }) => {
    const results = [];
    for (const name of flags.model ?? [registry.defaultName]) {
      const model = registry.get(name);
      const samples = await findSamples(folder, model.labels);
      if (samples.length === 0) throw new Error(`${folder} has no image of a class of ${model.manifest.name}`);
      for (const size of flags.size ?? [model.manifest.input.size]) {
        const options: ClassifyOptions = { fit: flags.fit, size, scales: [1], flip: false, topK: 5, scores: 'logit' };
        const bar = new SingleBar({
          format: `${model.manifest.name} at ${size} {bar} {percentage}% | {value}/{total} | {eta_formatted} left`,
          stream: process.stderr,
          noTTYOutput: false,
        });
        bar.start(samples.length, 0);
        const started = performance.now();
        let top1 = 0;
        let top5 = 0;
        const slots = pLimit(config.maxBatch * config.workers * 2);
        await slots.map(samples, async ({ file, classIndex }) => {
          const { results: answers } = await classify(inference, model, [await readImage(file)], options, localContext);
          const [answer] = answers;
          const ranks =
            answer !== undefined && 'predictions' in answer ? answer.predictions.map(({ index }) => index) : [];
          if (ranks[0] === classIndex) top1++;
          if (ranks.includes(classIndex)) top5++;
          bar.increment();
        });
        bar.stop();
        const seconds = (performance.now() - started) / 1000;
        results.push({
          model: model.manifest.name,
          size,
          images: samples.length,
          'top-1 %': percentage(top1, samples.length),
          'top-5 %': percentage(top5, samples.length),
          'images/s': Math.round(samples.length / seconds),
        });
      }
    }
    return results;
  });
  const [first] = rows;
  if (flags.json || first === undefined) process.stdout.write(JSON.stringify(rows, null, 2) + '\n');
  else
    process.stdout.write(
      formatTable(
        Object.keys(first),
        rows.map((row) => Object.values(row)),
      ) + '\n',
    );
}

function percentage(part: number, whole: number): number {
  return Math.round((part / whole) * 10000) / 100;
}

/** The images below a folder whose class the model knows. */
async function findSamples(folder: string, labels: readonly Label[]): Promise<Sample[]> {
  const classOf = new Map(labels.map(({ id }, index) => [id, index]));
  const annotations = await readFile(join(folder, 'val_annotations.txt'), 'utf8').catch(() => undefined);
  const named: (readonly [string, string])[] =
    annotations === undefined
      ? (await readdir(folder, { recursive: true })).map((file) => [file, idIn(file, classOf) ?? ''])
      : annotations
          .trim()
          .split('\n')
          .map((line) => line.split('\t'))
          .map(([file = '', id = '']) => [join('images', file), id]);
  return named.flatMap(([file, id]) => {
    const classIndex = classOf.get(id);
    const isImage = IMAGE_EXTENSIONS.has(extname(file).toLowerCase());
    return classIndex === undefined || !isImage ? [] : [{ file: join(folder, file), classIndex }];
  });
}

/** The class id that a path's folder or file name holds. */
function idIn(file: string, classOf: ReadonlyMap<string, number>): string | undefined {
  const parts = file.split(sep);
  const folder = parts.at(-2);
  if (folder !== undefined && classOf.has(folder)) return folder;
  return parts
    .at(-1)
    ?.split(/[^A-Za-z0-9]+/)
    .find((word) => classOf.has(word));
}
