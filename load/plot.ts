/**
 * `npm run load:plot -- A.json B.json`: draws the plots of reports again, with several reports of one machine in one
 * plot.
 */
import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { withAccuracies } from './accuracies.js';
import { runCommand } from './command.js';
import { plotsOf } from './plots/plots.js';
import { readReport } from './report.js';
import { RESULTS, writePlots } from './write-report.js';

await runCommand(async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { output: { type: 'string' } } });
  const reports = await Promise.all(positionals.map(async (file) => withAccuracies(await readReport(file))));
  const [first] = reports;
  if (first === undefined) throw new OperatorError('npm run load:plot -- REPORT.json [MORE.json] [--output NAME]');
  const name = values.output ?? basename(positionals[0]!, '.json');
  const plots = plotsOf({ ...first, rows: reports.flatMap(({ rows }) => rows) });
  await mkdir(RESULTS, { recursive: true });
  await writePlots(name, plots);
  for (const plot of plots.keys()) process.stdout.write(`${RESULTS}/${name}-${plot}.svg\n`);
});
