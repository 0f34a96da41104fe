/**
 * Images out of a request's body, in its three forms: the raw bytes of one image (whatever the Content-Type: the bytes
 * are sniffed later), multipart/form-data with any number of file parts, or JSON with base64.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import multipart from '@fastify/multipart';
import { z } from 'zod';
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';

export interface BodyLimits {
  readonly maxBytes: number;
  readonly maxImages: number;
}

export const imagesBody = z
  .strictObject({
    images: z.array(z.strictObject({ base64: z.base64().min(1), name: z.string().max(255).optional() })).min(1),
  })
  .meta({ id: 'Images' });

/** Teach a server to take images: raw bodies as buffers, multipart parts as they come. JSON is fastify's own. */
export async function acceptImages(app: FastifyInstance, { maxBytes, maxImages }: BodyLimits): Promise<void> {
  await app.register(multipart, { limits: { fileSize: maxBytes, files: maxImages, fields: 0, parts: maxImages } });
  // curl --data-binary says application/x-www-form-urlencoded; any type that is not JSON or multipart is taken as bytes.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

/** The images of a request, in order. Throws INVALID_REQUEST, BODY_TOO_LARGE. */
export async function readImages(request: FastifyRequest, limits: BodyLimits): Promise<ImageInput[]> {
  const images = request.isMultipart() ? await readParts(request, limits) : readBody(request.body);
  if (images.length === 0) throw new ServiceError('INVALID_REQUEST', 'The request holds no image.');
  if (images.length > limits.maxImages) {
    throw new ServiceError('INVALID_REQUEST', `${images.length} images; at most ${limits.maxImages} in one request.`);
  }
  return images;
}

async function readParts(request: FastifyRequest, { maxBytes }: BodyLimits): Promise<ImageInput[]> {
  const images: ImageInput[] = [];
  let total = 0;
  for await (const part of request.files()) {
    const bytes = await part.toBuffer();
    total += bytes.length;
    if (total > maxBytes)
      throw new ServiceError('BODY_TOO_LARGE', `The parts are larger than ${maxBytes} bytes together.`);
    images.push({ name: part.filename || `image-${images.length}`, bytes });
  }
  return images;
}

function readBody(body: unknown): ImageInput[] {
  if (Buffer.isBuffer(body)) return body.length === 0 ? [] : [{ name: 'image-0', bytes: body }];
  if (body === undefined || body === null) return [];
  const result = imagesBody.safeParse(body);
  if (!result.success) {
    const errors = result.error.issues.map((issue) => ({
      parameter: issue.path.reduce<string>(
        (path, part) =>
          typeof part === 'number' ? `${path}[${part}]` : path === '' ? String(part) : `${path}.${String(part)}`,
        '',
      ),
      detail: issue.message,
    }));
    throw new ServiceError('INVALID_REQUEST', 'The body must be {"images": [{"base64": "…"}]}.', { errors });
  }
  return result.data.images.map(({ base64, name }, position) => ({
    name: name ?? `image-${position}`,
    bytes: Buffer.from(base64, 'base64'),
  }));
}
