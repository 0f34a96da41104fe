/**
 * Reads the images of a request's body, in its three forms: the raw bytes of one image (whatever the Content-Type: the
 * bytes are sniffed later), multipart/form-data with any number of file parts, or JSON with base64. A route reads its body
 * itself, after all that it checks without one. Hostile bodies are refused before they cost more than their own bytes.
 *
 * The images lie in memory that is given back when the answer begins to leave, or when the route has ended without one:
 * an answer is sent after everything that the request started has ended.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { BodyMemory, HeldBody } from './body-memory.js';
import { readJsonImages } from './json-images.js';
import type { Metrics } from './metrics.js';
import { createMultipartReader } from './multipart-images.js';
import { announcedLength, hasBody, receiveBody } from './receive-body.js';
import type { Refusal } from './refusals.js';

export type BodyLimits = Pick<Config, 'maxBytes' | 'maxImages' | 'requestTimeoutMs' | 'minRate'>;

/** For the description of the API: json-images.ts reads it. */
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
        image: { type: 'array', items: { type: 'string', contentMediaType: 'application/octet-stream' }, minItems: 1 },
      },
      required: ['image'],
      encoding: { image: { contentType: [...IMAGE_TYPES, 'application/octet-stream'].join(', ') } },
    },
    'application/json': imagesBody,
  },
};

/** Matches a Content-Type that is a media type at all. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(;|$)/;

/** What answers give back when they begin to leave. */
const releases = new WeakMap<FastifyRequest, () => void>();

/** Let a server's routes read bodies of any type themselves. */
export function acceptBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request: FastifyRequest, _payload: unknown, done: (error: null) => void) =>
    done(null),
  );
  // curl --data-binary sends application/x-www-form-urlencoded; any type that is not JSON or multipart is taken as bytes.
  app.addHook('onRequest', (request, _reply, done) => {
    const type = request.headers['content-type'];
    if (type !== undefined && !MEDIA_TYPE.test(type)) request.raw.headers['content-type'] = 'application/octet-stream';
    done();
  });
  app.addHook('onSend', (request, _reply, payload, done) => {
    releases.get(request)?.();
    done(null, payload);
  });
}

export interface ImageReading {
  readonly bodies: BodyMemory;
  readonly metrics: Pick<Metrics, 'observeRefused'>;
  readonly limits: BodyLimits;
  /** When the client wants no answer any more, in milliseconds of `performance.now()`. */
  readonly deadline: number;
}

/**
 * Do `work` with the images of a request, in order. They are valid until it has ended or the answer begins to leave. Throws
 * INVALID_REQUEST, BODY_TOO_LARGE, REQUEST_TIMEOUT, DEADLINE_EXCEEDED, or QUEUE_FULL if there is no memory for them.
 */
export async function withImages<T>(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { bodies, metrics, limits, deadline }: ImageReading,
  work: (images: readonly ImageInput[]) => T | Promise<T>,
): Promise<T> {
  const held: HeldBody[] = [];
  const open = (): HeldBody => {
    const body = bodies.open(announcedLength(request.raw) ?? limits.maxBytes);
    held.push(body);
    return body;
  };
  const release = (): void => held.forEach((body) => body.release());
  const onRefused = (refusal: Refusal): void => metrics.observeRefused(refusal);
  const receive = (take: (chunk: Buffer) => void): Promise<void> => {
    const { maxBytes, requestTimeoutMs: timeoutMs, minRate } = limits;
    return receiveBody(request.raw, reply.raw, take, { maxBytes, timeoutMs, minRate, deadline, onRefused });
  };
  releases.set(request, release);
  try {
    const images = await readImages(request, { bodies, limits, open, receive }).catch((error: unknown) => {
      if (error instanceof ServiceError && error.code === 'QUEUE_FULL') onRefused('bodies_bytes');
      throw error;
    });
    if (images.length === 0) throw new ServiceError('INVALID_REQUEST', 'The request holds no image.');
    return await work(images);
  } finally {
    release();
  }
}

interface Source {
  readonly bodies: BodyMemory;
  readonly limits: BodyLimits;
  readonly open: () => HeldBody;
  readonly receive: (take: (chunk: Buffer) => void) => Promise<void>;
}

async function readImages(
  request: FastifyRequest,
  { bodies, limits, open, receive }: Source,
): Promise<readonly ImageInput[]> {
  if (!hasBody(request.raw)) return [];
  const { maxBytes, maxImages } = limits;
  const length = announcedLength(request.raw) ?? 0;
  // One that is too large is refused for that.
  if (length <= maxBytes) bodies.expect(length);
  const type = /^[^;\s]*/.exec(request.headers['content-type'] ?? '')![0].toLowerCase();
  if (type === 'multipart/form-data') {
    const reader = createMultipartReader(request.headers, { maxImages, open });
    await receive((chunk) => reader.write(chunk));
    return reader.end();
  }
  const body = open();
  await receive((chunk) => body.append(chunk));
  const bytes = body.bytes();
  if (type === 'application/json') return readJsonImages(bytes, maxImages);
  return bytes.length === 0 ? [] : [{ name: 'image-0', bytes }];
}
