/**
 * How much one step of a computation does. No clock: the maps count how often they are read, and nothing may read more than
 * a few times STEP_CELLS between two yields, however the map's cells lie.
 */
import { describe, expect, it } from 'vitest';
import { ANY_CLASS } from '../../../src/classes/classes.js';
import { averageMap, type PassMaps } from '../../../src/inference/class-maps.js';
import { candidates } from '../../../src/inference/segment.js';
import { extentOf, extremesOf, peakOf } from '../../../src/maps/localize.js';
import { outlinesOf, runLengthsOf, type PlacedLabels } from '../../../src/maps/outline.js';
import { planInput } from '../../../src/maps/input-plan.js';
import { placeMap } from '../../../src/maps/place.js';
import { regionFrom } from '../../../src/maps/regions.js';
import { probabilitiesOf } from '../../../src/maps/scores.js';
import { finish, STEP_CELLS, type Steps } from '../../../src/maps/steps.js';
import { noise, noiseLabels } from '../../support/noise-map.js';

/** Nine cells around each, and once more. */
const MOST_READS = 16 * STEP_CELLS;

let reads = 0;

/** The same values, whose reads count. */
function counted<T extends Float32Array | Uint16Array | Int32Array>(values: T): T {
  return new Proxy(values, {
    get(target, key) {
      if (typeof key === 'string' && key >= '0' && key <= ':') reads += 1;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Take all steps. The most reads of one of them, and of all. */
function measure(steps: Steps<unknown>): { most: number; all: number } {
  let [most, all] = [0, 0];
  for (let done = false; !done;) {
    reads = 0;
    done = steps.next().done ?? false;
    most = Math.max(most, reads);
    all += reads;
  }
  return { most, all };
}

const SHAPES = [
  { width: 250, height: 200 },
  { width: 50_000, height: 1 },
  { width: 1, height: 50_000 },
];
const KINDS = ['flat', 'noise'] as const;
const CASES = SHAPES.flatMap((shape) => KINDS.map((kind) => ({ ...shape, kind })));

type Case = (typeof CASES)[number];

function classMap({ width, height, kind }: Case) {
  const plan = planInput({ width, height }, { fit: 'native', size: 1, resize: 1, scale: 1 });
  const values = kind === 'noise' ? noise(width * height) : new Float32Array(width * height).fill(0.5);
  return {
    map: { values: counted(values), width, height },
    plan,
    placement: placeMap({ outputStride: 1, offset: 0.5 }, plan),
  };
}

function labelMap({ width, height, kind }: Case): PlacedLabels {
  const placed = noiseLabels(width, height, kind === 'noise' ? 4 : 1);
  return { ...placed, labels: { ...placed.labels, values: counted(placed.labels.values) } };
}

function passOf(of: Case): PassMaps {
  const { map, plan, placement } = classMap(of);
  const { width, height, values } = map;
  return {
    plan,
    placement,
    geometry: { kind: 'windows', outputStride: 1, offset: 0.5, receptiveField: 1 },
    width,
    height,
    imageLogits: new Float32Array(1),
    selected: [],
    classLogits: new Float32Array(),
    logNormalizer: values,
    bestClass: counted(Int32Array.from(map.values, (value) => Math.floor(4 * value))),
    bestLogit: values,
    conversion: SOFTMAX,
  };
}

const SOFTMAX = { activation: 'softmax', temperature: 1 } as const;
const HALF = { value: 0.5, of: 'value' } as const;

describe.each(CASES)('a map of $width×$height cells, $kind', (of) => {
  it.each<[string, () => Steps<unknown>]>([
    ['its peak', () => peakOf(classMap(of).map, classMap(of).placement, of)],
    ['its extent', () => extentOf(classMap(of).map, classMap(of).placement, of, HALF)],
    ['its extremes', () => extremesOf(classMap(of).map.values)],
    ['probabilities', () => probabilitiesOf(classMap(of).map.values, classMap(of).map.values, SOFTMAX)],
    ['the mean of two passes', () => averageMap([passOf(of), passOf(of)], ANY_CLASS, 'logit')],
    ['classes that win somewhere', () => candidates([passOf(of), passOf(of)], 5)],
    ['outlines', () => outlinesOf(labelMap(of), Infinity)],
    ['run lengths', () => runLengthsOf(labelMap(of), Infinity)],
  ])('%s: a step reads a few thousand cells', (_, start) => {
    const { most, all } = measure(start());
    expect(all).toBeGreaterThanOrEqual(of.width * of.height);
    expect(most).toBeLessThanOrEqual(MOST_READS);
  });
});

it('one region takes many steps', () => {
  const [width, height] = [300, 300];
  const labels = counted(new Uint16Array(width * height));
  const region = regionFrom(0, { width, height }, (cell) => labels[cell] === 0, new Uint8Array(width * height));
  const { most, all } = measure(region);
  expect(all).toBeGreaterThanOrEqual(width * height - 1);
  expect(most).toBeLessThanOrEqual(MOST_READS);
});

it('the measure sees a computation in one step', () => {
  const { map } = classMap({ width: 250, height: 200, kind: 'noise' });
  function* atOnce(): Steps<number> {
    yield;
    return finish(extremesOf(map.values)).low;
  }
  expect(measure(atOnce()).most).toBeGreaterThanOrEqual(50_000);
});
