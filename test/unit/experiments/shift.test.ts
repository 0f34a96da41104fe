import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../../../src/experiments/lab.js';
import type { Figure } from '../../../src/experiments/report.js';
import { compare, shift } from '../../../src/experiments/shift.js';
import { testLab } from '../../support/lab.js';
import { hasShared, shared } from '../../support/shared.js';

const photo = (name: string): string => fileURLToPath(new URL(`../../fixtures/photos/${name}`, import.meta.url));

let root: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-shift-'));
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

describe('shift', () => {
  it('compares the logits of each shift with those of the photograph as it is', async () => {
    const images = join(root, 'images');
    // Espresso and tabby cat, by Tiny ImageNet's ids.
    for (const [id, file] of [
      ['n07920052', 'coffee.png'],
      ['n02123045', 'chelsea.png'],
    ] as const) {
      await mkdir(join(images, id), { recursive: true });
      await copyFile(photo(file), join(images, id, file));
    }
    const { data, sections } = await shift(lab, { images, shift: 16 });
    expect(data.models.map(({ model, head }) => [model, head])).toEqual([
      ['tinyimagenet-resnet18-w48', 'global average pooling → fully connected, 384 to 200'],
      ['tinyimagenet-vgg11bn-w32', expect.stringMatching(/Flatten|fully connected over a window of 4×4/) as string],
    ]);
    for (const { images: count, shifts, meanChange } of data.models) {
      expect(count).toBe(2);
      expect(shifts.map((shifted) => shifted.shift)).toEqual(Array.from({ length: 17 }, (_, pixels) => pixels));
      expect(shifts[0]).toMatchObject({ change: 0, same: 1 });
      expect(shifts[1]!.change).toBeGreaterThan(0);
      expect(shifts[1]!.change).toBeLessThan(meanChange);
    }
    const figure = sections.find((section): section is Figure => 'figure' in section);
    expect(await figure!.draw()).toContain('tinyimagenet-vgg11bn-w32');
  });

  it.skipIf(!hasShared)(
    'moves the logits of a fully connected head further than those of global average pooling',
    async () => {
      const { data } = await shift(lab, { images: shared('photos'), shift: 31 });
      const [pooled, connected] = data.models;
      expect(connected!.meanChange).toBeGreaterThan(pooled!.meanChange);
    },
  );
});

it('measures the change of logits in their own standard deviations', () => {
  const still = Float32Array.of(-1, 1, 0, 0);
  // The deviations are √2 in norm, the change 1.
  expect(compare(Float32Array.of(-1, 1, 1, 0), still, 2)).toEqual({
    change: expect.closeTo(Math.SQRT1_2, 12) as number,
    same: true,
    right: false,
  });
  expect(compare(Float32Array.of(-1, 0, 1, 0), still, 2)).toMatchObject({ same: false, right: true });
});
