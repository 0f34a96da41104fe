import { describe, expect, it } from 'vitest';
import { inputPixels, ofSameShape, planInput, type Fit } from '../../../src/maps/input-plan.js';

const request = (fit: Fit, scale = 1) => ({ fit, size: 224, resize: 256, scale });

describe('planInput', () => {
  it.each([
    // photo, fit, scale → resized, crop: as torchvision's Resize and CenterCrop give them.
    [[500, 375], 'crop', 1, [341, 256], [58, 16, 224, 224]],
    [[375, 500], 'crop', 1, [256, 341], [16, 58, 224, 224]],
    [[500, 375], 'crop', 2, [682, 512], [117, 32, 448, 448]],
    [[501, 333], 'crop', 1, [385, 256], [80, 16, 224, 224]],
    [[1, 1], 'crop', 1, [256, 256], [16, 16, 224, 224]],
    [[500, 375], 'whole', 1, [298, 224], [0, 0, 298, 224]],
    [[500, 375], 'whole', 1.5, [448, 336], [0, 0, 448, 336]],
    [[500, 375], 'native', 1, [500, 375], [0, 0, 500, 375]],
    [[500, 375], 'native', 0.5, [250, 188], [0, 0, 250, 188]],
    [[3, 3], 'native', 0.1, [1, 1], [0, 0, 1, 1]],
    [[500, 375], 'stretch', 1, [224, 224], [0, 0, 224, 224]],
    [[1, 20000], 'stretch', 1, [224, 224], [0, 0, 224, 224]],
  ] as const)('plans %j with fit %s at scale %d', ([width, height], fit, scale, resized, [left, top, w, h]) => {
    expect(planInput({ width, height }, request(fit, scale))).toEqual({
      photo: { width, height },
      resized: { width: resized[0], height: resized[1] },
      crop: { left, top, width: w, height: h },
      scale,
    });
  });

  it.each([
    // The short side is the one asked for; the other, and both of native, follow from the photo.
    [[500, 375], 'whole', 1, [288, 224]],
    [[375, 500], 'whole', 1, [224, 288]],
    [[300, 300], 'whole', 1, [224, 224]],
    [[230, 229], 'whole', 0.5, [128, 112]],
    [[220, 219], 'whole', 0.8, [192, 179]],
    [[500, 375], 'native', 1, [512, 384]],
    [[3, 3], 'native', 1, [32, 32]],
    [[500, 375], 'stretch', 0.5, [112, 112]],
  ] as const)('plans %j with fit %s at scale %d in steps of 32', ([width, height], fit, scale, [w, h]) => {
    const { resized, crop } = planInput({ width, height }, { ...request(fit, scale), step: 32 });
    expect(resized).toEqual({ width: w, height: h });
    expect(crop).toEqual({ left: 0, top: 0, width: w, height: h });
  });

  it.each([
    // photo, fit → resized, crop, for an input of 64 by 256: it is covered, whatever the photo's shape.
    [[500, 375], 'crop', [341, 256], [42, 96, 256, 64]],
    [[100, 400], 'crop', [256, 1024], [0, 480, 256, 64]],
    [[1000, 100], 'crop', [2560, 256], [1152, 96, 256, 64]],
    [[500, 375], 'stretch', [256, 64], [0, 0, 256, 64]],
    [[500, 375], 'whole', [85, 64], [0, 0, 85, 64]],
  ] as const)('plans %j with fit %s for an input that is no square', ([width, height], fit, resized, crop) => {
    const plan = planInput({ width, height }, { fit, size: [64, 256], resize: 256, scale: 1 });
    expect([plan.resized.width, plan.resized.height]).toEqual(resized);
    expect([plan.crop.left, plan.crop.top, plan.crop.width, plan.crop.height]).toEqual(crop);
  });

  it('enlarges a photo further where the cut would not fit into it', () => {
    const { resized, crop } = planInput(
      { width: 300, height: 100 },
      { fit: 'crop', size: [128, 512], resize: 128, scale: 1 },
    );
    expect(resized).toEqual({ width: 512, height: 170 });
    expect(crop).toEqual({ left: 0, top: 21, width: 512, height: 128 });
  });

  it('keeps the shape of an input that is asked for in another size', () => {
    expect(ofSameShape(224, 100)).toBe(100);
    expect(ofSameShape([64, 256], 32)).toEqual([32, 128]);
    expect(ofSameShape([300, 100], 50)).toEqual([150, 50]);
  });

  it('plans one of few inputs for photos of any aspect, in steps', () => {
    const sizes = Array.from({ length: 400 }, (_, extra) => {
      const { crop } = planInput({ width: 400 + extra, height: 400 }, { ...request('whole'), step: 32 });
      return crop.width;
    });
    expect([...new Set(sizes)]).toEqual([224, 256, 288, 320, 352, 384, 416, 448]);
  });

  it('rounds the offset of the crop half to even', () => {
    const offsets = [225, 227, 229].map((width) =>
      planInput({ width, height: 224 }, { ...request('crop'), resize: 224 }),
    );
    expect(offsets.map(({ crop }) => crop.left)).toEqual([0, 2, 2]);
  });

  it('never plans a side of no pixels or a crop outside the resized photo', () => {
    const sides = [1, 2, 3, 31, 224, 4001];
    for (const fit of ['crop', 'whole', 'native', 'stretch'] as const) {
      for (const scale of [0.001, 0.37, 1, 2.5]) {
        for (const width of sides) {
          for (const height of sides) {
            const { resized, crop } = planInput({ width, height }, request(fit, scale));
            expect(Math.min(resized.width, resized.height, crop.width, crop.height)).toBeGreaterThanOrEqual(1);
            expect(Math.min(crop.left, crop.top)).toBeGreaterThanOrEqual(0);
            expect(crop.left + crop.width).toBeLessThanOrEqual(resized.width);
            expect(crop.top + crop.height).toBeLessThanOrEqual(resized.height);
          }
        }
      }
    }
  });

  it('lets callers refuse the input of an extreme photo by its pixels', () => {
    expect(inputPixels(planInput({ width: 1, height: 20000 }, request('whole')))).toBe(224 * 224 * 20000);
    expect(inputPixels(planInput({ width: 1, height: 20000 }, request('crop')))).toBe(224 * 224);
  });
});
