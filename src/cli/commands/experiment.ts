/** `fullconv experiment NAME`: runs an experiment and prints what it found; with --output its plots are written too. */
import type { Config } from '../../config.js';
import { runExperiment, type ExperimentName } from '../../experiments/index.js';
import { createLab, type Progress } from '../../experiments/lab.js';
import type { ExperimentOptions } from '../../experiments/options.js';
import { asJson, asMarkdown, writeReport } from '../../experiments/report.js';
import { openLog, STANDARD_ERROR } from '../../log.js';
import { tellFailures } from '../files/tell-failures.js';
import { starting } from '../local-service.js';
import { printableLines } from '../terminal/printable.js';
import { startCountingBar } from '../terminal/counting-bar.js';

export interface ExperimentFlags extends Omit<ExperimentOptions, 'images'> {
  readonly output?: string;
  readonly json?: boolean;
}

/** `images` is the folder or file that the experiment looks at. */
export async function experimentCommand(
  config: Config,
  name: ExperimentName,
  images: string | undefined,
  { output, json = false, ...options }: ExperimentFlags,
): Promise<void> {
  const { logger } = openLog(config.logLevel, STANDARD_ERROR);
  const lab = createLab(config, { models: options.model ?? [], log: logger, progress, starting });
  try {
    const report = await runExperiment(name, lab, images === undefined ? options : { ...options, images });
    tellFailures(report.failures ?? []);
    if (output !== undefined) await writeReport(report, output);
    const text = (): string => printableLines(asMarkdown(report, { hasPictures: output !== undefined }));
    process.stdout.write(json ? asJson(report) : text());
  } finally {
    await lab.close();
  }
}

function progress(what: string, total: number): Progress {
  const bar = startCountingBar(what, total);
  return { step: () => bar.increment(), stop: () => bar.stop() };
}
