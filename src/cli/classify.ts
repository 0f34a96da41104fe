/** `fullconv classify FILES`: the classes of local images, with an engine of its own or by a server's. */
import type { Config } from '../config.js';
import type { Classification, ClassifyOptions } from '../inference/classify.js';
import type { Fit } from '../inference/input-plan.js';
import { classifyFiles } from './classify-files.js';
import { formatTable, withService } from './local-service.js';
import { classifyRemotely } from './remote.js';

export interface ClassifyFlags {
  readonly model?: string;
  readonly top: number;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly server?: URL;
  readonly json?: boolean;
}

/** What became of a file at one scale. */
export type ClassifiedFile = Classification | { readonly name: string; readonly problem: { readonly message: string } };

export async function classifyCommand(config: Config, files: readonly string[], flags: ClassifyFlags): Promise<void> {
  const results =
    flags.server === undefined
      ? await classifyLocally(config, files, flags)
      : await classifyRemotely(flags.server, files, flags);
  if (results.some((result) => 'problem' in result)) process.exitCode = 1;
  if (flags.json) {
    const plain = results.map((result) =>
      'problem' in result ? { name: result.name, problem: result.problem.message } : result,
    );
    process.stdout.write(JSON.stringify(plain, null, 2) + '\n');
    return;
  }
  for (const result of results) {
    if ('problem' in result) {
      process.stdout.write(`${result.name}: ${result.problem.message}\n\n`);
      continue;
    }
    const rows = result.predictions.map(({ label, id, score }) => [
      label,
      id,
      `${(score * 100).toFixed(1)} %`.padStart(7),
    ]);
    process.stdout.write(`${result.name}  ${result.width}×${result.height}, scale ${result.input.scale}\n`);
    process.stdout.write(formatTable(['class', 'id', 'probability'], rows) + '\n\n');
  }
}

async function classifyLocally(
  config: Config,
  files: readonly string[],
  { model: name, fit, size, scale: scales, top: topK }: ClassifyFlags,
): Promise<ClassifiedFile[]> {
  const options: ClassifyOptions = { fit, size, scales, flip: false, topK, scores: 'probability' };
  const answers = await withService(config, (service) =>
    service.registry.use(name, (model) => classifyFiles(service, config, model, files, options)),
  );
  return answers.flat();
}
