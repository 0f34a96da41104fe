import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startTestApp } from '../support/app.js';
import { hasShared, shared } from '../support/shared.js';
import { writeTinyDarknet } from '../support/tiny-darknet.js';

interface Maps {
  results: { classes: { values: number[][] }[] }[];
}

it.skipIf(!hasShared)('gives the same maps in tiles, where the padding depends on the input’s size', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-tiny-darknet-'));
  const models = join(folder, 'models');
  await writeTinyDarknet(models);
  const environment = { FULLCONV_CACHE: join(folder, 'cache') };
  const apps = [
    await startTestApp({ ...environment, FULLCONV_MAX_INPUT_PIXELS: '160000' }, models),
    await startTestApp(environment, models),
  ];
  try {
    const payload = await readFile(shared('coco/000000000247.jpg'));
    for (const scale of [0.98, 1, 1.013]) {
      const url = `/v1/heatmap?fit=native&class=n02690373&scores=logit&tiles&scale=${scale}`;
      const headers = { accept: 'application/json' };
      const [tiled, whole] = await Promise.all(
        apps.map(async ({ http }) => (await http.inject({ method: 'POST', url, headers, payload })).json<Maps>()),
      );
      const [parts, one] = [tiled, whole].map((answer) => answer!.results[0]!.classes[0]!.values.flat());
      expect(parts).toHaveLength(one!.length);
      parts!.forEach((value, cell) => expect(Math.abs(value - one![cell]!)).toBeLessThan(1e-2));
    }
  } finally {
    await Promise.all(apps.map((app) => app.close()));
    await rm(folder, { recursive: true });
  }
});
