/**
 * Reads the images of a request's body, in its three forms: the raw bytes of one image (whatever the Content-Type: the
 * bytes are sniffed later), multipart/form-data with any number of file parts, or JSON with base64. Hostile bodies are
 * refused before they cost more than their own bytes.
 */
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import { acceptRawBodies } from './body.js';
import { invalidRequest } from './parameters.js';

export interface BodyLimits {
  readonly maxBytes: number;
  readonly maxImages: number;
}

const imagesBody = z
  .strictObject({
    images: z.array(z.strictObject({ base64: z.base64().min(1), name: z.string().max(255).optional() })).min(1),
  })
  .meta({ id: 'Images' });

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif', 'image/tiff'] as const;

/** The body of the routes that ask about images, for their description. */
export const IMAGES = {
  description: 'One image as the body, whatever its Content-Type; or many, as multipart parts or as base64 in JSON',
  content: {
    ...Object.fromEntries([...IMAGE_TYPES, 'application/octet-stream'].map((type) => [type, {}])),
    'multipart/form-data': {
      type: 'object',
      properties: {
        image: { type: 'array', items: { type: 'string', contentMediaType: 'application/octet-stream' } },
      },
    },
    'application/json': imagesBody,
  },
};

/** Text fields beside the files are ignored, up to this many of this length; forms often have a few. */
const MAX_FIELDS = 32;
const MAX_FIELD_BYTES = 65_536;
/** Matches a Content-Type that is a media type at all. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(;|$)/;

/** Let a server take images: raw bodies as buffers, multipart parts as they come. Fastify itself parses JSON. */
export async function acceptImages(app: FastifyInstance, { maxBytes, maxImages }: BodyLimits): Promise<void> {
  await app.register(multipart, {
    limits: {
      fileSize: maxBytes,
      // One more than the limit, so that the message about the limit is ours.
      files: maxImages + 1,
      fields: MAX_FIELDS,
      fieldSize: MAX_FIELD_BYTES,
      parts: maxImages + 1 + MAX_FIELDS,
    },
  });
  // curl --data-binary sends application/x-www-form-urlencoded; any type that is not JSON or multipart is taken as
  // bytes.
  app.removeContentTypeParser('text/plain');
  acceptRawBodies(app, { maxBytes });
  app.addHook('onRequest', (request, _reply, done) => {
    const type = request.headers['content-type'];
    if (type !== undefined && !MEDIA_TYPE.test(type)) request.raw.headers['content-type'] = 'application/octet-stream';
    done();
  });
}

/** The images of a request, in order. Throws INVALID_REQUEST, BODY_TOO_LARGE. */
export async function readImages(request: FastifyRequest, limits: BodyLimits): Promise<ImageInput[]> {
  const images = request.isMultipart() ? await readParts(request, limits) : readBody(request.body, limits);
  if (images.length === 0) throw new ServiceError('INVALID_REQUEST', 'The request holds no image.');
  limitImages(images.length, limits);
  return images;
}

function limitImages(count: number, { maxImages }: BodyLimits): void {
  if (count <= maxImages) return;
  throw new ServiceError('INVALID_REQUEST', `The request has ${count} images; the limit is ${maxImages}.`);
}

async function readParts(request: FastifyRequest, limits: BodyLimits): Promise<ImageInput[]> {
  const watch = watchBytes(request, limits.maxBytes);
  const images: ImageInput[] = [];
  try {
    for await (const part of request.files()) {
      const bytes = await part.toBuffer();
      images.push({ name: part.filename || `image-${images.length}`, bytes });
      limitImages(images.length, limits);
    }
    return images;
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    const tooLarge = watch.exceeded || (error as { statusCode?: number }).statusCode === 413;
    const detail = tooLarge
      ? `The body is larger than ${limits.maxBytes} bytes, or has more than ${limits.maxImages} files.`
      : 'The multipart body is malformed.';
    throw new ServiceError(tooLarge ? 'BODY_TOO_LARGE' : 'INVALID_REQUEST', detail, { cause: error });
  }
}

/** Hang up if a multipart body exceeds the limit. Its length is not known beforehand if it is chunked. */
function watchBytes({ raw }: FastifyRequest, maxBytes: number): { readonly exceeded: boolean } {
  const watch = { exceeded: false };
  let received = 0;
  raw.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received <= maxBytes || watch.exceeded) return;
    watch.exceeded = true;
    raw.destroy();
  });
  return watch;
}

function readBody(body: unknown, limits: BodyLimits): ImageInput[] {
  if (Buffer.isBuffer(body)) return body.length === 0 ? [] : [{ name: 'image-0', bytes: body }];
  if (body === undefined || body === null) return [];
  // Counted before they are validated: a million wrong elements would make a million complaints.
  const listed = (body as { images?: unknown }).images;
  if (Array.isArray(listed)) limitImages(listed.length, limits);
  const result = imagesBody.safeParse(body);
  if (!result.success)
    throw invalidRequest('The body must be {"images": [{"base64": "…"}]}.', result.error, imagesBody);
  return result.data.images.map(({ base64, name }, position) => ({
    name: name ?? `image-${position}`,
    bytes: Buffer.from(base64, 'base64'),
  }));
}
