/** Chooses the form of an answer by the client's Accept header. */
import accepts from 'accepts';
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../errors.js';
import { PICTURE_FORMATS, type PictureFormat } from '../drawing/words.js';

/** In order of preference if the client has none. */
export const MAP_MEDIA_TYPES = [
  'image/png',
  'application/json',
  'application/x-npy',
  'image/webp',
  'image/avif',
] as const;
export type MapMediaType = (typeof MAP_MEDIA_TYPES)[number];

/** The format of a picture; undefined if the type is no picture. */
export function pictureFormat(type: MapMediaType): PictureFormat | undefined {
  return PICTURE_FORMATS.find((format) => type === `image/${format}`);
}

/**
 * The best accepted type among those that can hold the answer. `whyNot` tells why an accepted type cannot. Throws
 * NOT_ACCEPTABLE with the reason.
 */
export function negotiate(
  request: FastifyRequest,
  whyNot: (type: MapMediaType) => string | undefined = () => undefined,
): MapMediaType {
  const holding = MAP_MEDIA_TYPES.filter((type) => whyNot(type) === undefined);
  const mediaType = bestOf(holding, request);
  if (mediaType !== undefined) return cheaperPicture(request, mediaType, holding);
  const accepted = bestOf(MAP_MEDIA_TYPES, request);
  if (accepted === undefined) {
    throw new ServiceError('NOT_ACCEPTABLE', `The answer has no form that "${request.headers.accept ?? ''}" accepts.`, {
      errors: [{ parameter: 'Accept', detail: `must allow one of: ${MAP_MEDIA_TYPES.join(', ')}` }],
    });
  }
  throw new ServiceError('NOT_ACCEPTABLE', `${accepted} ${whyNot(accepted) ?? ''}; ask for ${holding.join(' or ')}.`);
}

/** The type that a client likes best, the first of equals; undefined if it accepts none. Reads all of the header, each time. */
function bestOf(types: readonly MapMediaType[], { raw }: FastifyRequest): MapMediaType | undefined {
  const best = types.length === 0 ? false : accepts(raw).type([...types]);
  return types.find((type) => type === best);
}

/**
 * PNG in the place of another picture, if the client takes it as gladly. Browsers name image/avif and image/webp first for each `<img>`, but give
 * all of them the same weight; AVIF takes three to twelve times the processor's time of PNG (load/results/2026-11-28-draw-cost.md). A post that names a format wants it.
 */
function cheaperPicture(
  { method, headers: { accept } }: FastifyRequest,
  mediaType: MapMediaType,
  holding: readonly MapMediaType[],
): MapMediaType {
  const isChosen = method !== 'POST' && pictureFormat(mediaType) !== undefined && holding.includes('image/png');
  if (!isChosen) return mediaType;
  const weightOf = weightsIn(accept);
  return weightOf('image/png') >= weightOf(mediaType) ? 'image/png' : mediaType;
}

/** What a type weighs, from 0 to 1, by the most specific range that it is in. Source: RFC 9110, section 12.5.1. */
function weightsIn(accept = '*/*'): (type: string) => number {
  const ranges = accept.split(',').map((range) => range.split(';').map((part) => part.trim().toLowerCase()));
  return (type) => {
    for (const name of [type, type.replace(/\/.*/, '/*'), '*/*']) {
      const range = ranges.find(([first]) => first === name);
      const weight = range?.find((part) => part.startsWith('q='))?.slice(2);
      if (range !== undefined) return weight === undefined ? 1 : Number(weight);
    }
    return 0;
  };
}
