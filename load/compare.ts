/** `npm run load:compare -- BEFORE.json AFTER.json`: exits with 1 if something got slower beyond the noise. */
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { runCommand } from './command.js';
import { compareReports, type Change } from './comparison.js';
import { readReport, type Machine } from './report.js';
import { figure, markdownTable } from './tables.js';

const HELP = `npm run load:compare -- BEFORE.json AFTER.json [options]
  --threshold PERCENT  smallest difference of medians that counts (5)
  --all                also list what stayed the same
`;

await runCommand(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { threshold: { type: 'string', default: '5' }, all: { type: 'boolean', default: false } },
  });
  const [first, second, ...more] = positionals;
  const threshold = Number(values.threshold) / 100;
  if (first === undefined || second === undefined || more.length > 0 || !(threshold >= 0)) {
    throw new OperatorError(HELP.trimEnd());
  }
  const [before, after] = [await readReport(first), await readReport(second)];
  for (const difference of differences(before.machine, after.machine))
    process.stdout.write(`Not alike: ${difference}\n`);
  const { changes, unmatched } = compareReports(before, after, threshold);
  for (const name of unmatched) process.stdout.write(`Only in one report: ${name}\n`);
  const told = changes.filter(({ verdict }) => values.all || verdict !== 'same');
  if (told.length > 0) process.stdout.write(markdownTable(COLUMNS, told));
  const count = (wanted: Change['verdict']): number => changes.filter(({ verdict }) => verdict === wanted).length;
  process.stdout.write(`${count('slower')} slower, ${count('faster')} faster, ${count('same')} within the noise\n`);
  if (count('slower') > 0) process.exitCode = 1;
});

const COLUMNS = [
  ['row', ({ row }: Change) => row],
  ['figure', ({ figure }: Change) => figure],
  ['before', ({ before }: Change) => figure(before)],
  ['after', ({ after }: Change) => figure(after)],
  ['after / before', ({ ratio }: Change) => ratio.toFixed(2)],
  ['verdict', ({ verdict }: Change) => verdict],
] as const;

/** The differences of machine and versions, by which the comparison is not one of the program alone. */
function differences(before: Machine, after: Machine): string[] {
  const keys = ['processor', 'cores', 'memoryGiB', 'node', 'onnxruntime', 'sharp'] as const;
  return keys.filter((key) => before[key] !== after[key]).map((key) => `${key} was ${before[key]}, is ${after[key]}`);
}
