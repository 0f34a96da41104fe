import { describe, expect, it } from 'vitest';
import { fittedAxis, linearAxis, logAxis, roundNumbers } from '../../../src/plots/axes.js';
import { placeLabels, type Bounds, type Circle } from '../../../src/plots/place-labels.js';
import { plotsOf } from '../../../load/plots/plots.js';
import { withAccuracies } from '../../../load/accuracies.js';
import { readReport, type Row } from '../../../load/report.js';
import { reportOf, row, sampleAt } from '../../support/load-reports.js';

const BOUNDS: Bounds = { left: 0, top: 0, right: 400, bottom: 300 };
const circle = (x: number, y: number, r = 5): Circle => ({ x, y, r, width: 60, height: 10 });

describe('labels', () => {
  it('stand beside their circle where there is room', () => {
    const [place] = placeLabels([circle(200, 150)], BOUNDS);
    expect(place).toEqual({ x: 237, y: 150, apart: false });
  });

  it('stay inside, also of circles at the border', () => {
    for (const place of placeLabels([circle(2, 2), circle(398, 298)], BOUNDS)) {
      expect(place.x).toBeGreaterThanOrEqual(30);
      expect(place.x).toBeLessThanOrEqual(370);
      expect(place.y).toBeGreaterThanOrEqual(5);
      expect(place.y).toBeLessThanOrEqual(295);
    }
  });

  it('hide no other circle, however small it is', () => {
    const own = circle(200, 150);
    const ring = Array.from({ length: 16 }, (_, index): Circle => {
      const angle = (index * Math.PI) / 8;
      return { x: 200 + 37 * Math.cos(angle), y: 150 + 12 * Math.sin(angle), r: 0.5, width: 0, height: 0 };
    });
    const [place] = placeLabels([own, ...ring], BOUNDS);
    const hidden = ring.filter(({ x, y }) => Math.abs(place!.x - x) < 30 && Math.abs(place!.y - y) < 5);
    expect(hidden).toEqual([]);
  });

  it('of circles that crowd do not lie over each other', () => {
    const crowd = Array.from({ length: 9 }, (_, index) => circle(190 + 10 * (index % 3), 140 + 10 * (index % 2)));
    const places = placeLabels(crowd, BOUNDS);
    for (const [index, a] of places.entries()) {
      for (const b of places.slice(index + 1)) {
        expect(Math.abs(a.x - b.x) >= 60 || Math.abs(a.y - b.y) >= 10).toBe(true);
      }
    }
  });
});

describe('a logarithmic axis', () => {
  it('has round numbers', () => {
    expect(roundNumbers([0.04, 3])).toEqual([0.05, 0.1, 0.2, 0.5, 1, 2]);
  });

  it('goes beyond its values by a factor', () => {
    expect(logAxis('ms', [10, 100], 2).domain).toEqual([5, 200]);
  });

  it('has powers of ten over many decades, at most a dozen', () => {
    expect(logAxis('norm', [2e-8, 0.5], 1).ticks).toEqual([1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]);
    const { ticks } = logAxis('norm', [1e-30, 1], 1);
    expect(ticks.slice(0, 3)).toEqual([1e-30, 1e-27, 1e-24]);
    expect(ticks).toHaveLength(11);
  });
});

describe('a linear axis', () => {
  it('has at most a dozen round numbers, and goes beyond its values', () => {
    expect(linearAxis('%', [69, 83], 3)).toMatchObject({
      domain: [66, 86],
      ticks: [66, 68, 70, 72, 74, 76, 78, 80, 82, 84, 86],
    });
    expect(linearAxis('', [0, 1], 0.03).ticks).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(linearAxis('%', [38, 82], 3).ticks).toEqual([35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85]);
  });

  it('fits its values with some room, also a single one', () => {
    expect(fittedAxis('%', [0, 100]).domain).toEqual([-3, 103]);
    expect(fittedAxis('%', [5]).domain).toEqual([4.97, 5.03]);
  });
});

interface Box extends Bounds {
  readonly text: string;
}

/** The labels of balls, which alone have this size, at the size of 10 pixels. */
function boxesOf(svg: string): Box[] {
  const [, group = ''] = /<g font-size="10"[^>]*aria-label="text">([^]*?)<\/g>/.exec(svg) ?? [];
  return [...group.matchAll(/translate\(([\d.]+),([\d.]+)\)"[^>]*>([^<]*)</g)].map(([, x, y, text = '']) => {
    const half = (text.length * 6) / 2;
    return { text, left: Number(x) - half, right: Number(x) + half, top: Number(y) - 5, bottom: Number(y) + 5 };
  });
}

const labelsOf = (svg: string): string[] =>
  boxesOf(svg)
    .map(({ text }) => text)
    .sort();

/** Whether more than a pixel of one lies over the other. */
const overlap = (a: Box, b: Box): boolean =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;

const COMMITTED = ['2026-11-25-architectures', '2026-11-28-default-model', '2026-11-25-int8'];

/** What was measured of every architecture and of the embedded models. */
async function everyArchitecture(): Promise<Row[]> {
  const reports = await Promise.all(COMMITTED.map((name) => readReport(`load/results/${name}.json`)));
  return reports.flatMap(({ rows }) => rows);
}

describe('plots', () => {
  const open = (share: number, p99Ms: number) =>
    row('a', [sampleAt(share * 40, { offered: share * 40, late: 0, p99Ms })], { load: { loop: 'open', share } });
  const report = reportOf(
    row('a', [sampleAt(40)]),
    row('b-untrained', [sampleAt(20)], { gmacs: 8 }),
    open(0.5, 30),
    open(0.9, 90),
  );

  it('are documents by themselves, with a label for each ball and each line', () => {
    const plots = plotsOf(report);
    expect([...plots.keys()]).toEqual(['throughput', 'latency']);
    for (const svg of plots.values()) expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(plots.get('throughput')).toContain('>b</text>');
    expect(plots.get('latency')).toContain('● a classify');
  });

  it('have a ball for each model whose accuracy on ImageNet is known, named with the recipe of its weights', () => {
    const accurate = (model: string, percent: number, weights: string, more: Partial<Row> = {}) =>
      row(model, [sampleAt(40)], { top1: { percent, images: 'ImageNet', weights }, ...more });
    const plots = plotsOf(
      reportOf(
        accurate('resnet50-untrained', 76.2, 'resnet50.tv_in1k', { engine: 'onnxruntime' }),
        accurate('resnet50-untrained', 76.2, 'resnet50.tv_in1k', { engine: 'openvino' }),
        accurate('preresnet50-untrained', 80.4, 'resnetv2_50.a1h_in1k', { engine: 'openvino' }),
        row('tiny', [sampleAt(90)], { top1: { percent: 55.3, images: 'Tiny ImageNet', weights: 'tiny' } }),
        row('unknown', [sampleAt(20)]),
      ),
    );
    expect([...plots.keys()]).toEqual(['accuracy', 'accuracy-throughput', 'throughput']);
    expect(labelsOf(plots.get('accuracy')!)).toEqual(['preresnet50 (a1h)', 'resnet50']);
    expect(labelsOf(plots.get('accuracy-throughput')!)).toEqual([
      ...['preresnet50 on openvino (a1h)', 'resnet50 on onnxruntime', 'resnet50 on openvino'],
    ]);
    expect(plots.get('accuracy')).toContain('not drawn, because on other images: tiny 55.3 % of Tiny ImageNet');
    expect(labelsOf(plots.get('throughput')!)).toContain('unknown');
  });

  it('put models that answered nothing on no logarithmic axis', () => {
    const labels = labelsOf(
      plotsOf(reportOf(row('a', [sampleAt(40)]), row('b', [sampleAt(9)]), row('c', [sampleAt(0)]))).get('throughput')!,
    );
    expect(labels).toEqual(['a', 'b']);
  });

  it('of every architecture have no label over another', async () => {
    const rows = await everyArchitecture();
    const { rows: known } = await withAccuracies(reportOf(...rows));
    const plots = plotsOf(reportOf(...known));
    for (const name of ['accuracy', 'accuracy-throughput', 'throughput']) {
      const boxes = boxesOf(plots.get(name)!);
      expect(boxes.length).toBeGreaterThan(25);
      const overlaps = boxes.flatMap((a, index) =>
        boxes
          .slice(index + 1)
          .filter((b) => overlap(a, b))
          .map((b) => [a.text, b.text]),
      );
      expect(overlaps, name).toEqual([]);
    }
  });

  it('are left out where there is nothing to draw', () => {
    expect(plotsOf(reportOf(row('a', [sampleAt(40)]))).size).toBe(0);
  });
});
