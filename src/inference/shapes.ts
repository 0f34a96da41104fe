/**
 * The areas of segmentations as shapes: outlines and run lengths (maps/outline.ts), both held for all images of a request
 * before the first byte of the answer. So they are bounded, and the request is refused where its areas are frayed.
 */
import { ServiceError } from '../errors.js';
import { outlinesOf, runLengthsOf, type LabelRuns, type Outlines } from '../maps/outline.js';
import { inTurns } from '../turns.js';
import { checkAlive, type RequestContext } from './request-context.js';
import type { Segmentation } from './segment.js';

/** Corners of the outlines of all images: 20 MB as text. A map of noise has 3 for each cell. */
export const MAX_CORNERS = 2 ** 20;

/** Runs of all images: 8 to 16 MB as text. */
export const MAX_RUNS = 2 ** 22;

export type Shape = 'polygons' | 'rle';

export interface Shapes {
  readonly outlines: Outlines | undefined;
  readonly runLengths: LabelRuns | undefined;
}

/**
 * The shapes of each image that are wanted. Throws IMAGE_TOO_LARGE if all images together have too many corners or runs,
 * or as checkAlive does.
 */
export async function shapesOf(
  images: readonly Segmentation[],
  wanted: readonly Shape[],
  context: RequestContext,
): Promise<Map<Segmentation, Shapes>> {
  const check = (): void => checkAlive(context);
  const shapes = new Map<Segmentation, Shapes>();
  let corners = 0;
  let runs = 0;
  for (const image of images) {
    const outlines = wanted.includes('polygons')
      ? ((await inTurns(outlinesOf(image, MAX_CORNERS - corners), check)) ?? refuse('polygons', 'corners', MAX_CORNERS))
      : undefined;
    const runLengths = wanted.includes('rle')
      ? ((await inTurns(runLengthsOf(image, MAX_RUNS - runs), check)) ?? refuse('rle', 'runs', MAX_RUNS))
      : undefined;
    corners += outlines?.points ?? 0;
    runs += runLengths?.runs ?? 0;
    shapes.set(image, { outlines, runLengths });
  }
  return shapes;
}

function refuse(shape: Shape, what: string, limit: number): never {
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `The areas of all images together have more than ${limit} ${what}. Ask for a coarser outputStride, a smaller size, fewer images, or no shapes=${shape}.`,
    {
      errors: [{ parameter: 'shapes', detail: `${shape} has more than ${limit} ${what}` }],
      limit: { name: shape === 'rle' ? 'rle_runs' : 'polygon_corners', value: limit, needed: limit + 1 },
    },
  );
}
