/** Heatmaps of one photograph through the server, from small inputs to the largest that it takes. */
import { measureHeatmaps } from '../../heatmap-sizes.js';
import { readPhotos } from '../../photos.js';
import type { StepContext } from '../step-task.js';
import { startFor } from './server.js';

const ROUNDS = 3;

export async function measureHeatmapsOn(context: StepContext): Promise<void> {
  const { device, numbers, settings, places } = context;
  const [name] = settings.models;
  const [photo] = await readPhotos(places.photos);
  const first = new Map<number, number>();
  const { server, served } = await startFor(context, name!);
  try {
    const asked = { models: [served], sides: settings.sides, fractions: [1], rounds: ROUNDS };
    await measureHeatmaps(server, photo!.bytes, asked, {
      isOver: () => context.left() <= 0,
      begin: (what) => context.begin(what),
      measured({ side, outputStride, milliseconds, peakMiB, refused }, taken) {
        if (taken !== undefined && !first.has(side)) first.set(side, taken);
        const firstMs = first.get(side);
        context.put({
          ...{ table: 'heatmap', key: `${device} ${numbers} ${name} ${side}`, device: device!, numbers: numbers! },
          ...{ model: name!, side, outputStride, peakMiB },
          ...(milliseconds.length > 0 && { ms: Math.min(...milliseconds) }),
          ...(firstMs !== undefined && { firstMs }),
          ...(refused !== undefined && { refused }),
        });
      },
    });
    if (context.left() <= 0) context.note('no time was left for all sizes and rounds');
  } finally {
    await server.stop();
  }
}
