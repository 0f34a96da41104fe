import { expect, it } from 'vitest';
import { createKeptPlaces } from '../../../src/inference/kept-places.js';

it('keeps a quarter of the places at most, and for a client as many as are free beside them', () => {
  const places = createKeptPlaces(64, () => 0);
  const first = Array.from({ length: 20 }, () => places.keep('first'));
  expect(first.filter(({ isKept }) => isKept)).toHaveLength(8);
  Array.from({ length: 20 }, () => places.keep('second'));
  expect(places.count()).toBe(12);
  for (let client = 0; client < 50; client++) places.keep(`client ${client}`);
  expect(places.count()).toBe(16);
  first.forEach((place) => place.release());
  expect(places.count()).toBe(8);
  expect(places.keep('third').isKept).toBe(true);
});

it('gives up a place whose body has not come in two seconds', () => {
  let now = 0;
  const places = createKeptPlaces(64, () => now);
  const early = places.keep('a');
  now = 1000;
  const late = places.keep('a');
  now = 1999;
  expect(places.count()).toBe(2);
  now = 2000;
  expect(places.count()).toBe(1);
  expect([early.isKept, late.isKept]).toEqual([false, true]);
  early.release();
  late.release();
  late.release();
  expect(places.count()).toBe(0);
});

it('keeps none where there are few places', () => {
  expect(createKeptPlaces(3).keep('a').isKept).toBe(false);
});
