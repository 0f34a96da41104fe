import { describe, expect, it } from 'vitest';
import { planInput, type Fit } from '../../../src/maps/input-plan.js';
import {
  applyAffine,
  composeAffine,
  coveredPixels,
  invertAffine,
  mirrorInput,
  photoToInput,
  placeMap,
  type Affine,
} from '../../../src/maps/place.js';

const planOf = (fit: Fit, width = 500, height = 375) =>
  planInput({ width, height }, { fit, size: 224, resize: 256, scale: 1 });

describe('photoToInput', () => {
  it('carries the corners of the crop to the corners of the input', () => {
    const plan = planOf('crop');
    const inputToPhoto = invertAffine(photoToInput(plan));
    const topLeft = applyAffine(inputToPhoto, { x: 0, y: 0 });
    expect(topLeft.x).toBeCloseTo((58 * 500) / 341, 9);
    expect(topLeft.y).toBeCloseTo((16 * 375) / 256, 9);
    const corner = applyAffine(photoToInput(plan), { x: (282 * 500) / 341, y: (240 * 375) / 256 });
    expect(corner.x).toBeCloseTo(224, 9);
    expect(corner.y).toBeCloseTo(224, 9);
  });

  it('scales each axis by itself when the photo is stretched', () => {
    expect(photoToInput(planOf('stretch'))).toMatchObject({ scaleX: 224 / 500, scaleY: 224 / 375 });
  });
});

describe('coveredPixels', () => {
  it('are those whose centre is in the crop', () => {
    expect(coveredPixels(planOf('crop'))).toEqual({ left: 85, top: 23, width: 328, height: 329 });
    expect(coveredPixels(planOf('whole'))).toEqual({ left: 0, top: 0, width: 500, height: 375 });
  });

  it.each([
    [2000, 1],
    [2, 1],
    [1, 2],
    [1, 1],
    [3, 1],
  ])('are one at least of each side of a photo of %s×%s pixels, and in it', (width, height) => {
    const covered = coveredPixels(planOf('crop', width, height));
    expect(covered.width).toBe(1);
    expect(covered.height).toBe(1);
    expect(Math.abs(covered.left + 0.5 - width / 2)).toBeLessThanOrEqual(0.5);
    expect(Math.abs(covered.top + 0.5 - height / 2)).toBeLessThanOrEqual(0.5);
  });
});

describe('placeMap', () => {
  it('puts the first window of a valid 7×7 head on a 32-stride trunk at input pixel 112', () => {
    const placement = placeMap({ outputStride: 32, offset: 112 }, planOf('native'));
    const centre = (x: number, y: number) => applyAffine(invertAffine(placement), { x, y });
    expect(centre(0, 0)).toEqual({ x: 112, y: 112 });
    expect(centre(8, 4)).toEqual({ x: 112 + 8 * 32, y: 112 + 4 * 32 });
  });

  it('is undone by its inverse, and composes in the order first, second', () => {
    const placement = placeMap({ outputStride: 16, offset: 7.5 }, planOf('crop'));
    const there = composeAffine(placement, invertAffine(placement));
    expect(there.scaleX).toBeCloseTo(1, 12);
    expect(there.offsetY).toBeCloseTo(0, 9);
    const doubleThenShift = composeAffine(
      { scaleX: 2, offsetX: 0, scaleY: 2, offsetY: 0 },
      { scaleX: 1, offsetX: 3, scaleY: 1, offsetY: 3 },
    );
    expect(applyAffine(doubleThenShift, { x: 1, y: 1 })).toEqual({ x: 5, y: 5 });
  });
});

describe('coordinates', () => {
  const placement = placeMap({ outputStride: 32, offset: 16 }, planOf('crop'));
  const toInput = photoToInput(planOf('crop'));

  it('are not mistaken for others: the compiler refuses what does not fit', () => {
    const inputToCells = composeAffine(invertAffine(toInput), placement);
    const cells: Affine<'input', 'cells'> = inputToCells;
    // @ts-expect-error what leads to the input does not lead on from the photo
    composeAffine(toInput, placement);
    // @ts-expect-error it leads from the input, not from the photo
    const wrong: Affine<'photo', 'cells'> = inputToCells;
    // @ts-expect-error a place in the input is none among the cells
    applyAffine(invertAffine(cells), applyAffine(toInput, { x: 0, y: 0 }));
    expect(cells).toBe(wrong);
  });

  it('cost nothing when the program runs', () => {
    expect(Reflect.ownKeys(placement)).toEqual(['scaleX', 'offsetX', 'scaleY', 'offsetY']);
  });
});

describe('mirrorInput', () => {
  it('finds in the mirrored map what is at the mirrored place of the input', () => {
    const geometry = { outputStride: 32, offset: 16 };
    const plan = planOf('crop');
    const placement = placeMap(geometry, plan);
    const mirrored = mirrorInput(placement, geometry, plan);
    // 224 pixels hold seven cells with centres at 16 + 32·i: cell i mirrors to 6 − i.
    for (let x = 0; x < 7; x++) {
      const photo = applyAffine(invertAffine(placement), { x, y: 2 });
      const cell = applyAffine(mirrored, photo);
      expect(cell.x).toBeCloseTo(6 - x, 9);
      expect(cell.y).toBeCloseTo(2, 9);
    }
  });
});
