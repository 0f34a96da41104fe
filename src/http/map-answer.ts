/** What answers that are maps have alike: they say where the cells are. */
import type { FastifyReply } from 'fastify';
import type { ImageHeatmaps } from '../inference/heatmap.js';
import type { InputPlan } from '../maps/input-plan.js';

type MapGeometry = ImageHeatmaps['geometry'];

/** A map's size in cells, and where the cells look, in input pixels. */
export function describeGeometry(
  { height, width }: { height: number; width: number },
  { outputStride, offset, receptiveField }: MapGeometry,
) {
  return { height, width, outputStride, offset, receptiveField };
}

/** Headers for forms that cannot say it themselves: the geometry of the map, and the input it was made from. */
export function describeMap(
  reply: FastifyReply,
  { height, width }: { height: number; width: number },
  { plan: { crop, scale }, geometry }: { plan: InputPlan; geometry: MapGeometry },
): void {
  const { outputStride, offset, receptiveField } = geometry;
  void reply
    .header(
      'fullconv-map',
      `height=${height}, width=${width}, output-stride=${outputStride}, offset=${offset}, receptive-field=${receptiveField}`,
    )
    .header('fullconv-input', `width=${crop.width}, height=${crop.height}, scale=${scale}`);
}

/** A header that names the classes of the maps, in their order. */
export function describeClasses(reply: FastifyReply, classes: readonly { index: number; id: string }[]): void {
  void reply.header(
    'fullconv-classes',
    classes.map(({ index, id }) => `${index};id="${encodeURIComponent(id)}"`).join(', '),
  );
}
