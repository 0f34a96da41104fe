import { describe, expect, it } from 'vitest';
import { classesHeaders } from '../../../src/http/map-answer.js';

type Classes = Parameters<typeof classesHeaders>[0];

const classesOf = (count: number, idOf: (index: number) => string): Classes =>
  Array.from({ length: count }, (_, index) => ({ index, id: idOf(index) }));

describe('the header of the classes', () => {
  it('lists a few classes with their ids', () => {
    expect(classesHeaders(classesOf(2, (index) => `n${index} ü`))).toEqual({
      'fullconv-classes': '0;id="n0%20%C3%BC", 1;id="n1%20%C3%BC"',
      'fullconv-class-count': 2,
    });
  });

  it.each([
    ['a thousand classes', 1000, (index: number) => `n${index}`],
    ['long ids', 100, (index: number) => `${index}-`.repeat(80)],
    ['ids that grow when they are written', 100, () => '象'.repeat(60)],
    ['ids longer than a header', 3, () => 'x'.repeat(100_000)],
    ['halves of characters', 3, () => '\ud800'],
  ])('has no more than 2,000 characters, and the number of all: %s', (_, count, idOf) => {
    const headers = classesHeaders(classesOf(count, idOf));
    const list = String(headers['fullconv-classes']);
    expect(list.length).toBeLessThanOrEqual(2000);
    expect(list).toMatch(/^0(;id="[^"]+")?, 1/);
    expect(list).toMatch(/(^|, )\d+(;id="[^", ]+")?$/);
    expect(headers['fullconv-class-count']).toBe(count);
  });
});
