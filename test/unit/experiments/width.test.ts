import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nativeCost } from '../../../src/experiments/cost.js';
import type { Lab } from '../../../src/experiments/lab.js';
import type { Figure } from '../../../src/experiments/report.js';
import { wideNets, width } from '../../../src/experiments/width.js';
import { testLab } from '../../support/lab.js';

let root: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-width-'));
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

it('the wide nets have the parameters that were published, under the widths 1, 1.5, 2 and 3', () => {
  const nets = wideNets();
  expect(nets.map((net) => net.width)).toEqual([1, 1.5, 2, 3, 1, 1.5, 2]);
  for (const { parameters, published } of nets) expect(parameters / 1e6).toBeCloseTo(published, 1);
});

it('multiply-adds of deep and wide nets have the ratios of the lecture', async () => {
  const names = ['resnet50', 'resnet101', 'resnet152', 'wide_resnet50_2', 'preresnet200'];
  const costs: number[] = [];
  for (const name of names) {
    costs.push(nativeCost((await lab.look(name)).network));
  }
  const lecture = [1, 1.91, 2.81, 2.79, 3.67];
  costs.forEach((cost, index) => expect(Math.abs(cost / costs[0]! - lecture[index]!)).toBeLessThan(0.01));
});

it('times a batch of each net, and compares it with the first', async () => {
  const { data, sections } = await width(lab, { model: ['squeezenet1_0', 'squeezenet1_1'], batch: 2, runs: 2 });
  expect(data).toMatchObject({ batch: 2, runs: 2, threads: lab.config.threads });
  const [first, second] = data.nets;
  expect(first).toMatchObject({ architecture: 'squeezenet1_0', ratios: { parameters: 1, multiplyAdds: 1, time: 1 } });
  expect(second!.milliseconds).toBeGreaterThan(0);
  expect(second!.ratios.time).toBe(second!.milliseconds / first!.milliseconds);
  expect(second!.ratios.multiplyAdds).toBeCloseTo(second!.multiplyAdds / first!.multiplyAdds, 10);
  expect(second).not.toHaveProperty('publishedMs');
  const figure = sections.find((section): section is Figure => 'figure' in section);
  expect(await figure!.draw()).toContain('squeezenet1_1');
  expect((await lab.ground()).models.map(({ name }) => name)).toContain('squeezenet1_0-untrained');
});

it('takes architectures only', async () => {
  await expect(width(lab, { model: ['nothing'] })).rejects.toThrow('"nothing" is no architecture');
});
