import { describe, expect, it } from 'vitest';
import { logAxis, roundNumbers } from '../../../load/plots/log-axis.js';
import { placeLabels, type Bounds, type Circle } from '../../../load/plots/place-labels.js';
import { plotsOf } from '../../../load/plots/plots.js';
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
});

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

  it('are left out where there is nothing to draw', () => {
    expect(plotsOf(reportOf(row('a', [sampleAt(40)]))).size).toBe(0);
  });
});
