/** Writes reports: to the terminal, and to load/results. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { plotsOf } from './plots/plots.js';
import type { Report } from './report.js';
import { toMarkdown } from './tables.js';

export const RESULTS = 'load/results';

export function printReport(report: Report): void {
  process.stdout.write(toMarkdown(report));
}

/** NAME.json, NAME.md and a picture NAME-*.svg for each plot that the report has data for. */
export async function writeReport(name: string, report: Report): Promise<void> {
  await mkdir(RESULTS, { recursive: true });
  await writeFile(join(RESULTS, `${name}.json`), JSON.stringify(report, null, 2) + '\n');
  const plots = plotsOf(report);
  const pictures = [...plots.keys()].map((plot) => `\n![${plot}](${name}-${plot}.svg)\n`).join('');
  await writeFile(join(RESULTS, `${name}.md`), toMarkdown(report) + pictures);
  await writePlots(name, plots);
}

export async function writePlots(name: string, plots: ReadonlyMap<string, string>): Promise<void> {
  for (const [plot, svg] of plots) await writeFile(join(RESULTS, `${name}-${plot}.svg`), svg);
}
