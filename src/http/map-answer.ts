/** What answers that are maps have alike: which maps a model has, and headers that say where the cells are. */
import type { FastifyReply } from 'fastify';
import { ServiceError } from '../errors.js';
import type { InputPlan } from '../inference/input-plan.js';
import { denseView, type CompiledModel } from '../models/compile.js';

/** Throws OUTPUT_UNSUPPORTED for a model without a class map, and for a stride or an edge that its class map does not have. */
export function checkMapParameters(
  { outputStride, edge }: { outputStride?: number | undefined; edge: 'valid' | 'same' },
  model: CompiledModel,
): void {
  const { geometry, poolsGlobally } = denseView(model);
  const own = geometry.outputStride;
  if (outputStride !== undefined && outputStride !== own) {
    const detail = `${model.manifest.name} has no class map of output stride ${outputStride}.`;
    throw new ServiceError('OUTPUT_UNSUPPORTED', detail, {
      errors: [{ parameter: 'outputStride', detail: `must be ${own}` }],
    });
  }
  if (edge === 'same' && !poolsGlobally) {
    throw new ServiceError('OUTPUT_UNSUPPORTED', `${model.manifest.name} has no zero-padded head.`, {
      errors: [{ parameter: 'edge', detail: 'must be valid' }],
    });
  }
}

/** A map's size in cells, and where the cells look, in input pixels. */
export function geometryOf({ height, width }: { height: number; width: number }, model: CompiledModel) {
  const { outputStride, offset, receptiveField } = denseView(model).geometry;
  return { height, width, outputStride, offset, receptiveField };
}

/** Headers for forms that cannot say it themselves: the geometry of the map, and the input it was made from. */
export function describeMap(
  reply: FastifyReply,
  model: CompiledModel,
  map: { height: number; width: number },
  { crop, scale }: InputPlan,
): void {
  const { height, width, outputStride, offset, receptiveField } = geometryOf(map, model);
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
