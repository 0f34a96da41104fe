import { describe, expect, it } from 'vitest';
import { layOut, type Sized } from '../../../../../src/models/look/block-diagram/layered-layout.js';

const box = (width: number, ...from: number[]): Sized => ({ width, height: 20, from });

describe('layOut', () => {
  it('puts a line straight down', () => {
    const { places, wires, width } = layOut([box(100), box(60, 0), box(80, 1)]);
    expect(places.map(({ x }) => x)).toEqual([50, 50, 50]);
    expect(places.map(({ y }) => y)).toEqual([0, 60, 120]);
    expect(wires.every(({ via }) => via.length === 0)).toBe(true);
    expect(width).toBe(100);
  });

  it('leads a shortcut straight past the boxes beside it', () => {
    const { places, wires } = layOut([box(50), box(100, 0), box(120, 1), box(90, 2), box(26, 3, 0)]);
    const { via } = wires.find(({ from, to }) => from === 0 && to === 4)!;
    expect(new Set(via.map(({ x }) => x)).size).toBe(1);
    expect(via.map(({ top }) => top)).toEqual([60, 120, 180]);
    expect(Math.abs(via[0]!.x - places[2]!.x)).toBeGreaterThan(60);
    expect(new Set(places.slice(1, 4).map(({ x }) => x)).size, 'the branch is straight').toBe(1);
    expect(places[4]!.x).toBe(places[0]!.x);
  });

  it('lets no boxes of a row overlap', () => {
    const branches = Array.from({ length: 9 }, (_, index) => box(30 + 10 * index, 0));
    const { places, width } = layOut([box(10), ...branches, box(10, ...branches.map((_, index) => index + 1))]);
    const row = places.slice(1, 10).map(({ x }, index) => [x, branches[index]!.width] as const);
    row.sort(([a], [b]) => a - b);
    for (let index = 1; index < row.length; index += 1) {
      const [[left, one], [right, other]] = [row[index - 1]!, row[index]!];
      expect(right - left).toBeGreaterThan((one + other) / 2);
    }
    expect(Math.min(...row.map(([x, own]) => x - own / 2))).toBeCloseTo(0);
    expect(Math.max(...row.map(([x, own]) => x + own / 2))).toBeCloseTo(width);
  });

  it('puts what reads nothing right above its first reader', () => {
    const { places } = layOut([box(10), box(10, 0), box(10, 1), box(10), box(10, 2, 3)]);
    expect(places[3]!.y).toBe(places[2]!.y);
  });
});
