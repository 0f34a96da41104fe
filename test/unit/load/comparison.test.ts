import { expect, it } from 'vitest';
import { compareReports } from '../../../load/comparison.js';
import { reportOf, row, sampleAt } from '../../support/load-reports.js';

const THRESHOLD = 0.05;
const rates = (...values: number[]) => values.map((value) => sampleAt(value));

function verdictOf(before: number[], after: number[]): string {
  const { changes } = compareReports(
    reportOf(row('a', rates(...before))),
    reportOf(row('a', rates(...after))),
    THRESHOLD,
  );
  return changes.find(({ figure }) => figure === 'server /s')!.verdict;
}

it('a throughput below every earlier round is slower, one above faster', () => {
  expect(verdictOf([100, 101, 99], [80, 82, 81])).toBe('slower');
  expect(verdictOf([80, 82, 81], [100, 101, 99])).toBe('faster');
});

it('rounds that reach each other are noise', () => {
  expect(verdictOf([100, 80, 99], [79, 81, 78])).toBe('same');
});

it('a small difference does not count, however sure', () => {
  expect(verdictOf([100, 100, 100], [97, 97, 97])).toBe('same');
});

it('an open loop is judged by its latency, of which less is better', () => {
  const open = (p99Ms: number) => row('a', [sampleAt(50, { p99Ms })], { load: { loop: 'open', share: 0.7 } });
  const { changes } = compareReports(reportOf(open(30)), reportOf(open(60)), THRESHOLD);
  expect(changes.map(({ figure, verdict }) => [figure, verdict])).toEqual([
    ['p50 ms', 'same'],
    ['p99 ms', 'slower'],
  ]);
});

it('names the rows that only one of the reports has', () => {
  const { changes, unmatched } = compareReports(
    reportOf(row('a', rates(1)), row('b', rates(1))),
    reportOf(row('b', rates(1)), row('c', rates(1))),
    THRESHOLD,
  );
  expect(new Set(changes.map((change) => change.row))).toEqual(new Set(['b classify, 8 clients']));
  expect(unmatched).toEqual(['a classify, 8 clients', 'c classify, 8 clients']);
});
