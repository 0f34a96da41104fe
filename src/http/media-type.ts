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
  const accepted = MAP_MEDIA_TYPES.find((type) => type === accepts(request.raw).type([...MAP_MEDIA_TYPES]));
  if (accepted === undefined) {
    throw new ServiceError('NOT_ACCEPTABLE', `The answer has no form that "${request.headers.accept ?? ''}" accepts.`, {
      errors: [{ parameter: 'Accept', detail: `must allow one of: ${MAP_MEDIA_TYPES.join(', ')}` }],
    });
  }
  const holding = MAP_MEDIA_TYPES.filter((type) => whyNot(type) === undefined);
  const mediaType = holding.find((type) => type === accepts(request.raw).type(holding));
  if (mediaType !== undefined) return mediaType;
  throw new ServiceError('NOT_ACCEPTABLE', `${accepted} ${whyNot(accepted) ?? ''}; ask for ${holding.join(' or ')}.`);
}
