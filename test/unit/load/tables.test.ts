import { expect, it } from 'vitest';
import { figure, toMarkdown } from '../../../load/tables.js';
import { reportOf, row, sampleAt } from '../../support/load-reports.js';

/** The cell of a table's first row by its heading. */
function cell(markdown: string, title: string, heading: string): string | undefined {
  const lines = markdown.split(`**${title}**`)[1]!.trim().split('\n');
  const cells = (line: string): string[] => line.split('|').map((text) => text.trim());
  return cells(lines[2]!)[cells(lines[0]!).indexOf(heading)];
}

const closed = row('a', [sampleAt(40), sampleAt(20), sampleAt(30)]);

it('shows medians over the rounds, and what follows from them', () => {
  const markdown = toMarkdown(reportOf(closed));
  const throughput = (heading: string) => cell(markdown, 'Throughput, closed loop', heading);
  expect(throughput('server /s')).toBe('30.0');
  expect(throughput('server / ceiling')).toBe('0.60');
  expect(throughput('MP/s')).toBe('6.00');
  expect(throughput('GMAC/s')).toBe('120');
  expect(throughput('of peak')).toBe('60 %');
  expect(cell(markdown, 'The server meanwhile', 'batches')).toBe('1: 75 %, 2: 25 %');
});

it('has no table that nothing was measured for', () => {
  const markdown = toMarkdown(reportOf(closed));
  expect(markdown).not.toContain('open loop**');
  expect(markdown).not.toContain('Several at once');
  expect(markdown).not.toContain('Notes');
});

it('shows an open loop with what was offered and what was sent late', () => {
  const open = row('a', [sampleAt(19, { offered: 20, late: 0.25, p99Ms: 90, boundP99Ms: 60 })], {
    load: { loop: 'open', share: 0.5 },
  });
  const markdown = toMarkdown(reportOf(open));
  expect(cell(markdown, 'Latency, open loop', 'offered /s')).toBe('20.0');
  expect(cell(markdown, 'Latency, open loop', 'sent late')).toBe('25 %');
  expect(cell(markdown, 'Latency, open loop', 'p99 / bound')).toBe('1.50');
});

it('shows a mix beside its parts one by one', () => {
  const mixed = row('a', [{ ...sampleAt(45), single: 50 }], { sizes: 'mixed' });
  expect(cell(toMarkdown(reportOf(mixed)), 'Several at once, beside each by itself', 'at once / one by one')).toBe(
    '0.90',
  );
});

it('shows accuracies where some are known', () => {
  const top1 = { percent: 76.2, images: 'ImageNet', weights: 'resnet50.tv_in1k' } as const;
  const markdown = toMarkdown(reportOf({ ...closed, top1 }, row('b', [sampleAt(10)])));
  expect(cell(markdown, 'Throughput, closed loop', 'top-1 %')).toBe('76.2');
  expect(toMarkdown(reportOf(closed))).not.toContain('top-1');
});

it('has a row with the reason for what could not be measured', () => {
  const common = { models: ['b'], precision: 'fp32', view: 'classify', sizes: 'photos' } as const;
  const leftOut = [{ ...common, engine: 'openvino', reason: 'Error: a | b\nc' }];
  const markdown = toMarkdown({ ...reportOf(closed), leftOut });
  expect(markdown).toContain('| b on openvino | fp32 | classify | photos | Error: a \\| b c |\n');
  const long = [{ ...common, reason: 'x'.repeat(5000) }];
  expect(toMarkdown({ ...reportOf(closed), leftOut: long })).toMatch(/\| x{200} … \|\n/);
  expect(toMarkdown({ ...reportOf(closed), leftOut: [] })).not.toContain('Not measured');
});

it('says what else is to be said', () => {
  expect(toMarkdown({ ...reportOf(closed), notes: ['b has no heatmaps'] })).toContain('- b has no heatmaps');
});

it('writes three figures, and a dash for what is unknown', () => {
  expect([0.123, 1.234, 12.34, 123.4, NaN].map(figure)).toEqual(['0.12', '1.23', '12.3', '123', '–']);
});
