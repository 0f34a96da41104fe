/**
 * Reads the images of a request's body, in its three forms: the raw bytes of one image (whatever the Content-Type: the
 * bytes are sniffed later), multipart/form-data with any number of file parts, or JSON with base64; each of them compressed
 * or not. A route reads its body itself, after all that it checks without one. Hostile bodies are refused before they cost
 * more than their own bytes.
 *
 * The images lie in memory that is given back when the answer begins to leave, or when the route has ended without one:
 * an answer is sent after everything that the request started has ended.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Config } from '../config.js';
import { ClientGoneError, ServiceError, toServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { BodyAccount, BodyMemory } from './body-memory.js';
import { codingOf, createInflater } from './content-coding.js';
import { NO_FIELDS, type Fields } from './form-fields.js';
import { readJsonImages } from './json-images.js';
import type { Metrics } from './metrics.js';
import { createMultipartReader, type Form } from './multipart-images.js';
import { announcedLength, hasBody, receiveBody } from './receive-body.js';
import type { Refusal } from './refusals.js';
import { notesOf } from './request-notes.js';
import type { Forms } from './route.js';

export type BodyLimits = Pick<Config, 'maxBytes' | 'maxImages' | 'requestTimeoutMs' | 'minRate'>;

/** For the description of the API: json-images.ts reads it. */
const imagesBody = z
  .strictObject({
    images: z
      .array(
        z.strictObject({
          base64: z
            .string()
            .min(1)
            .meta({ format: 'base64' })
            .describe(
              'In either alphabet, with or without padding, in lines or not; or a data: URL, in base64 or percent-encoded',
            ),
          name: z.string().max(255).optional(),
        }),
      )
      .min(1),
  })
  .meta({ id: 'Images' });

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif', 'image/tiff'] as const;

/** The body of the routes that ask about images, for their description. `query`: what may also be fields of a form. */
export function imagesOrForm(query: z.ZodType): { readonly description: string; readonly content: Forms } {
  const { properties = {} } = z.toJSONSchema(query, { io: 'output', unrepresentable: 'any' });
  const image = { type: 'array', items: { type: 'string', contentMediaType: 'application/octet-stream' }, minItems: 1 };
  return {
    description:
      'One image as the body, whatever its Content-Type; or many, as multipart parts or as base64 in JSON. A form may have parameters of the query as text fields. The body may be compressed: Content-Encoding gzip, deflate or br',
    content: {
      ...Object.fromEntries([...IMAGE_TYPES, 'application/octet-stream'].map((type) => [type, {}])),
      'multipart/form-data': {
        type: 'object',
        properties: { image, ...properties },
        required: ['image'],
        additionalProperties: false,
        encoding: { image: { contentType: [...IMAGE_TYPES, 'application/octet-stream'].join(', ') } },
      },
      'application/json': imagesBody,
    },
  };
}

/** Matches a Content-Type that is a media type at all. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+\s*(;|$)/;

/** What an image is called that has no name. */
const ONLY_IMAGE = 'image-0';

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

/** Whether a request's body is a form, whose fields are parameters. */
export function isForm(request: FastifyRequest): boolean {
  return mediaTypeOf(request) === 'multipart/form-data';
}

function mediaTypeOf({ headers }: FastifyRequest): string {
  return /^[^;\s]*/.exec(headers['content-type'] ?? '')![0].toLowerCase();
}

export interface BodyReading {
  readonly bodies: BodyMemory;
  readonly metrics: Pick<Metrics, 'observeRefused'>;
  readonly limits: BodyLimits;
  /** The client's address. */
  readonly client: string;
  /** When the client wants no answer any more, in milliseconds of `performance.now()`. */
  readonly deadline: number;
}

/**
 * Do `work` with the images of a request, in order, and with the text fields beside them. The images are valid until it has
 * ended or the answer begins to leave. Throws INVALID_REQUEST, UNSUPPORTED_ENCODING, BODY_TOO_LARGE, REQUEST_TIMEOUT,
 * DEADLINE_EXCEEDED, or QUEUE_FULL or RATE_LIMITED if there is no memory for them.
 */
export function withImages<T>(
  exchange: Exchange,
  reading: BodyReading,
  work: (images: readonly ImageInput[], fields: Readonly<Fields>) => T | Promise<T>,
): Promise<T> {
  return holding(exchange, reading, readForm, ({ images, fields }) => {
    if (images.length === 0) throw new ServiceError('INVALID_REQUEST', 'The request holds no image.');
    return work(images, fields);
  });
}

/**
 * Do `work` with an image that is no body, but charged to the client as one. `fetch` puts its bytes into the account. They are
 * valid as the images of withImages are, and the same failures of memory are counted.
 */
export function withFetched<T>(
  exchange: Exchange,
  reading: BodyReading,
  fetch: (account: BodyAccount) => Promise<Buffer>,
  work: (images: readonly ImageInput[]) => T | Promise<T>,
): Promise<T> {
  const fetchIntoAccount = (_: Exchange, { account }: Source): Promise<Buffer> => fetch(account);
  return holding(exchange, reading, fetchIntoAccount, (bytes) => work([{ name: ONLY_IMAGE, bytes }]));
}

/** Do `work` with the bytes of a body, inflated, whatever its type. They are valid and fail as the images of withImages do. */
export function withBody<T>(
  exchange: Exchange,
  reading: BodyReading,
  work: (body: Buffer) => T | Promise<T>,
): Promise<T> {
  return holding(exchange, reading, readBody, work);
}

async function holding<Read, T>(
  exchange: Exchange,
  { bodies, metrics, limits, client, deadline }: BodyReading,
  read: (exchange: Exchange, source: Source) => Promise<Read>,
  work: (read: Read) => T | Promise<T>,
): Promise<T> {
  const account = bodies.account(client);
  const release = (): void => account.release();
  const onRefused = (refusal: Refusal): void => metrics.observeRefused(refusal);
  releases.set(exchange.request, release);
  const { raw } = exchange.request;
  const { trace } = notesOf(raw);
  const began = performance.now();
  try {
    const source = { account, limits, deadline, onRefused };
    const found = await read(exchange, source).catch((error: unknown) => {
      const limit = error instanceof ServiceError ? error.limit?.name : undefined;
      if (limit === 'bodies_bytes' || limit === 'bodies_bytes_per_address') onRefused(limit);
      const failure = error instanceof ClientGoneError ? 'CANCELLED' : toServiceError(error).code;
      trace?.phase({ name: 'body', startMs: began, endMs: performance.now(), failure });
      throw error;
    });
    if (hasBody(raw)) trace?.phase({ name: 'body', startMs: began, endMs: performance.now() });
    return await work(found);
  } finally {
    release();
  }
}

interface Source {
  readonly account: BodyAccount;
  readonly limits: BodyLimits;
  readonly deadline: number;
  readonly onRefused: (refusal: Refusal) => void;
}

export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

async function readForm(exchange: Exchange, source: Source): Promise<Form> {
  const { raw, headers } = exchange.request;
  if (!hasBody(raw)) return { images: [], fields: NO_FIELDS };
  const { limits, deadline } = source;
  const { maxImages } = limits;
  if (isForm(exchange.request)) {
    const reader = createMultipartReader(headers, { maxImages, open: openerFor(exchange, source) });
    await receive(exchange, source, (chunk) => reader.write(chunk));
    return reader.end(deadline);
  }
  const bytes = await readBody(exchange, source);
  if (mediaTypeOf(exchange.request) === 'application/json')
    return { images: await readJsonImages(bytes, maxImages), fields: NO_FIELDS };
  return { images: bytes.length === 0 ? [] : [{ name: ONLY_IMAGE, bytes }], fields: NO_FIELDS };
}

async function readBody(exchange: Exchange, source: Source): Promise<Buffer> {
  if (!hasBody(exchange.request.raw)) return Buffer.alloc(0);
  const body = openerFor(exchange, source)();
  await receive(exchange, source, (chunk) => body.append(chunk));
  return body.bytes();
}

/** Memory for what a body holds. */
function openerFor({ request: { raw, headers } }: Exchange, { account, limits: { maxBytes } }: Source) {
  const length = announcedLength(raw) ?? 0;
  // One that is too large is refused for that.
  if (length <= maxBytes) account.expect(length);
  const isCompressed = codingOf(headers['content-encoding']) !== undefined;
  return () => account.open((isCompressed ? undefined : announcedLength(raw)) ?? maxBytes);
}

/** Hand on the bytes of a body, inflated if they come compressed. Both what comes and what that holds are limited. */
async function receive(
  { request, reply }: Exchange,
  { account, limits, deadline, onRefused }: Source,
  take: (chunk: Buffer) => void,
): Promise<void> {
  const { maxBytes, requestTimeoutMs: timeoutMs, minRate } = limits;
  const options = { maxBytes, timeoutMs, minRate, deadline, onRefused };
  const coding = codingOf(request.headers['content-encoding']);
  if (coding === undefined) {
    await receiveBody(request.raw, reply.raw, take, options);
    return;
  }
  let inflated = 0;
  const inflater = createInflater(coding, {
    take(piece) {
      inflated += piece.length;
      if (inflated > maxBytes) {
        onRefused('body_bytes');
        const limit = { name: 'body_bytes', value: maxBytes, needed: inflated } as const;
        const detail = `The body has more than ${maxBytes} bytes when it is inflated, which is the limit.`;
        throw new ServiceError('BODY_TOO_LARGE', detail, { limit });
      }
      take(piece);
    },
    onMemory: (bytes) => account.setOther(bytes),
  });
  try {
    await receiveBody(request.raw, reply.raw, (chunk) => inflater.write(chunk), options);
    await inflater.end();
  } finally {
    inflater.close();
    account.setOther(0);
  }
  if (performance.now() >= deadline) {
    throw new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the body was inflated.');
  }
}
