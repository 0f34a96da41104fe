import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { COLORMAP_NAMES, colormap } from '../../../src/maps/colormap.js';
import type { Photo } from '../../../src/images/decode.js';
import { planInput, type Fit } from '../../../src/maps/input-plan.js';
import { applyAffine, coveredPixels, invertAffine, placeMap } from '../../../src/maps/place.js';
import { encodeGray16, paintHeatmap, type HeatmapRender, type RenderMode } from '../../../src/drawing/render.js';

const GEOMETRY = { outputStride: 32, offset: 16 };

/** A render of a map that is `low` but for one cell of `high`. */
function renderOf(
  fit: Fit,
  photo: { width: number; height: number },
  cell: { x: number; y: number },
  options: Partial<Omit<HeatmapRender, 'mode'>> & { mode?: RenderMode; low?: number; high?: number } = {},
): HeatmapRender {
  const plan = planInput(photo, { fit, size: 224, resize: 256, scale: 1 });
  const width = Math.ceil(plan.crop.width / 32);
  const height = Math.ceil(plan.crop.height / 32);
  const { low = 0, high = 1, ...rest } = options;
  const values = new Float32Array(width * height).fill(low);
  values[cell.y * width + cell.x] = high;
  return {
    map: { values, width, height },
    placement: placeMap(GEOMETRY, plan),
    plan,
    mode: 'heat',
    colormap: 'viridis',
    alpha: 0.5,
    opacity: 'constant',
    interpolation: 'bilinear',
    range: 'absolute',
    ...rest,
  };
}

function grayPhoto({ width, height }: { width: number; height: number }): Photo {
  return { pixels: new Uint8Array(width * height * 3).fill(100), width, height };
}

async function paintRgb(render: HeatmapRender) {
  const { pixels, width, height } = await paintHeatmap(render);
  const at = (x: number, y: number) => [...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
  return { width, height, at };
}

async function decodeGray16(png: Buffer) {
  expect(await sharp(png).metadata()).toMatchObject({ depth: 'ushort', channels: 1, format: 'png' });
  const { data, info } = await sharp(png)
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const values = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  return { width: info.width, height: info.height, values, at: (x: number, y: number) => values[y * info.width + x]! };
}

describe('colormap', () => {
  it.each(COLORMAP_NAMES)('%s has 256 colours', (name) => {
    expect(colormap(name)).toHaveLength(768);
  });

  it('has the ends of viridis', () => {
    expect([...colormap('viridis').subarray(0, 3)]).toEqual([0x44, 0x01, 0x54]);
    expect([...colormap('viridis').subarray(-3)]).toEqual([0xfd, 0xe7, 0x25]);
  });
});

describe('a drawn map', () => {
  it.each<[Fit, { width: number; height: number }]>([
    ['crop', { width: 500, height: 375 }],
    ['crop', { width: 375, height: 500 }],
    ['whole', { width: 500, height: 375 }],
    ['whole', { width: 133, height: 701 }],
    ['stretch', { width: 500, height: 375 }],
    ['native', { width: 97, height: 65 }],
  ])('puts the strongest pixel where the cell looked: fit=%s on %j', async (fit, photo) => {
    const cell = { x: 2, y: 1 };
    const render = renderOf(fit, photo, cell);
    const { values, width, height } = await decodeGray16(await encodeGray16(render));
    expect([width, height]).toEqual([photo.width, photo.height]);
    const strongest = values.indexOf(values.reduce((a, b) => Math.max(a, b)));
    const centre = applyAffine(invertAffine(render.placement), cell);
    expect(Math.abs((strongest % width) + 0.5 - centre.x)).toBeLessThanOrEqual(1);
    expect(Math.abs(Math.floor(strongest / width) + 0.5 - centre.y)).toBeLessThanOrEqual(1);
  });

  it('writes probabilities as 16-bit values, and the range of the map under minmax', async () => {
    const photo = { width: 224, height: 224 };
    const absolute = await decodeGray16(
      await encodeGray16(renderOf('whole', photo, { x: 3, y: 3 }, { low: 0.25, high: 0.5, interpolation: 'nearest' })),
    );
    expect([absolute.at(0, 0), absolute.at(112, 112)]).toEqual([Math.round(0.25 * 65535), Math.round(0.5 * 65535)]);
    const minmax = await decodeGray16(
      await encodeGray16(renderOf('whole', photo, { x: 3, y: 3 }, { low: -7, high: 12, range: 'minmax' })),
    );
    expect([minmax.at(0, 0), minmax.at(112, 112) > 60000]).toEqual([0, true]);
  });

  it('clamps what is outside the absolute range, and draws a flat map at the low end of minmax', async () => {
    const photo = { width: 224, height: 224 };
    const clamped = await decodeGray16(
      await encodeGray16(renderOf('whole', photo, { x: 3, y: 3 }, { low: -5, high: 9, interpolation: 'nearest' })),
    );
    expect([clamped.at(0, 0), clamped.at(112, 112)]).toEqual([0, 65535]);
    const flat = await paintRgb(renderOf('whole', photo, { x: 0, y: 0 }, { low: 3, high: 3, range: 'minmax' }));
    expect(flat.at(100, 100)).toEqual([0x44, 0x01, 0x54]);
  });

  it('blends the colour over the photo by alpha', async () => {
    const photo = { width: 224, height: 224 };
    const at = async (alpha: number) => {
      const render = renderOf(
        'whole',
        photo,
        { x: 3, y: 3 },
        { mode: 'overlay', alpha, interpolation: 'nearest', photo: grayPhoto(photo) },
      );
      return (await paintRgb(render)).at(112, 112);
    };
    expect(await at(0)).toEqual([100, 100, 100]);
    expect(await at(1)).toEqual([0xfd, 0xe7, 0x25]);
    expect(await at(0.5)).toEqual([(100 + 0xfd) / 2, (100 + 0xe7) / 2, (100 + 0x25) / 2].map(Math.round));
  });

  it('leaves what the network never saw: the photo, or the low end of the range', async () => {
    const photo = { width: 500, height: 375 };
    const render = renderOf('crop', photo, { x: 0, y: 0 }, { low: 1 });
    const covered = coveredPixels(render.plan);
    expect(covered).toEqual({ left: 85, top: 23, width: 328, height: 329 });
    const inside = [covered.left, covered.top] as const;
    const outside = [
      [covered.left - 1, covered.top],
      [covered.left, covered.top - 1],
      [covered.left + covered.width, 200],
      [200, covered.top + covered.height],
    ] as const;

    const overlay = await paintRgb({ ...render, mode: 'overlay', photo: grayPhoto(photo) });
    const heat = await paintRgb(render);
    const gray = await decodeGray16(await encodeGray16(render));
    for (const [x, y] of outside) {
      expect(overlay.at(x, y)).toEqual([100, 100, 100]);
      expect(heat.at(x, y)).toEqual([0x44, 0x01, 0x54]);
      expect(gray.at(x, y)).toBe(0);
    }
    expect(overlay.at(...inside)).not.toEqual([100, 100, 100]);
    expect(heat.at(...inside)).toEqual([0xfd, 0xe7, 0x25]);
    expect(gray.at(...inside)).toBe(65535);
  });

  it('covers the whole photo for every fit but crop', () => {
    for (const fit of ['whole', 'native', 'stretch'] as const) {
      for (const photo of [
        { width: 500, height: 375 },
        { width: 1, height: 1 },
        { width: 7, height: 1013 },
      ]) {
        const plan = planInput(photo, { fit, size: 224, resize: 256, scale: 1.3 });
        expect(coveredPixels(plan)).toEqual({ left: 0, top: 0, ...photo });
      }
    }
  });

  it('is the more opaque the higher the value, with opacity=value', async () => {
    const photo = { width: 224, height: 224 };
    const render = renderOf(
      'whole',
      photo,
      { x: 3, y: 3 },
      { mode: 'overlay', alpha: 1, opacity: 'value', interpolation: 'nearest', low: 0.5, photo: grayPhoto(photo) },
    );
    const { at } = await paintRgb(render);
    expect(at(112, 112)).toEqual([0xfd, 0xe7, 0x25]);
    const middle = [...colormap('viridis').subarray(128 * 3, 129 * 3)];
    at(0, 0).forEach((channel, k) => expect(Math.abs(channel - (100 + middle[k]!) / 2)).toBeLessThan(2));
    const values = new Float32Array(render.map.values.length);
    const none = { ...render, map: { ...render.map, values }, photo: grayPhoto(photo) };
    expect((await paintRgb(none)).at(0, 0)).toEqual([100, 100, 100]);
  });

  it('has contours where it crosses a fifth of the range, and leaves the photo elsewhere', async () => {
    const photo = { width: 224, height: 224 };
    const plan = planInput(photo, { fit: 'whole', size: 224, resize: 256, scale: 1 });
    // From 0 at the centre of the first column of cells to 1 at that of the last.
    const values = Float32Array.from({ length: 49 }, (_, cell) => (cell % 7) / 6);
    const base = renderOf('whole', photo, { x: 0, y: 0 }, { mode: 'contours', photo: grayPhoto(photo) });
    const { at } = await paintRgb({ ...base, plan, map: { values, width: 7, height: 7 } });
    const columns = Array.from({ length: photo.width }, (_, x) => x).filter((x) => at(x, 100).some((c) => c !== 100));
    const lines = columns.filter((x) => !columns.includes(x - 1));
    expect(lines.map((x) => Math.round((x + 2 - 16) / (192 / 5)))).toEqual([1, 2, 3, 4]);
    expect(columns.length).toBeLessThan(4 * 6);
    expect(at(columns[2]!, 100)).toEqual(at(columns[2]!, 200));
  });

  it.each([
    ['dark', 12],
    ['bright', 240],
  ])('has contours that differ from a %s photo at every level', async (_, gray) => {
    const photo = { width: 224, height: 224 };
    const plan = planInput(photo, { fit: 'whole', size: 224, resize: 256, scale: 1 });
    const values = Float32Array.from({ length: 49 }, (_value, cell) => (cell % 7) / 6);
    const pixels = new Uint8Array(224 * 224 * 3).fill(gray);
    const base = renderOf(
      'whole',
      photo,
      { x: 0, y: 0 },
      { mode: 'contours', colormap: 'inferno', photo: { ...photo, pixels } },
    );
    const { at } = await paintRgb({ ...base, plan, map: { values, width: 7, height: 7 } });
    for (const level of [1, 2, 3, 4]) {
      const line = Math.round(16 + (level * 192) / 5);
      const lumas = [-4, -3, -2, -1, 0, 1, 2, 3].map((shift) => at(line + shift, 100).reduce((a, b) => a + b) / 3);
      expect(Math.max(...lumas.map((luma) => Math.abs(luma - gray)))).toBeGreaterThan(90);
    }
  });

  it('refuses an overlay without its photo', async () => {
    await expect(
      paintHeatmap(renderOf('whole', { width: 64, height: 64 }, { x: 0, y: 0 }, { mode: 'overlay' })),
    ).rejects.toThrow(/photo/);
  });
});
