/** `fullconv classify FILES`: the classes of local images, without a server. */
import type { Config } from '../config.js';
import type { ClassifyOptions } from '../inference/classify.js';
import type { Fit } from '../inference/input-plan.js';
import { classifyFiles } from './classify-files.js';
import { formatTable, withService } from './local-service.js';

export interface ClassifyFlags {
  readonly model?: string;
  readonly top: number;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly json?: boolean;
}

export async function classifyCommand(config: Config, files: readonly string[], flags: ClassifyFlags): Promise<void> {
  const { fit, size, scale: scales, top: topK } = flags;
  const options: ClassifyOptions = { fit, size, scales, flip: false, topK, scores: 'probability' };
  const answers = await withService(config, (service) =>
    service.registry.use(flags.model, (model) => classifyFiles(service, config, model, files, options)),
  );
  const results = answers.flat();
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
