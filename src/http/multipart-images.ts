/**
 * Reads the images of a multipart/form-data body while it comes: each part with a file name or the Content-Type of an image
 * becomes one image. The parser keeps at most one chunk. Text fields beside them are ignored, since forms often have a few.
 *
 * Source: RFC 7578.
 */
import { Busboy } from '@fastify/busboy';
import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { HeldBody } from './body-memory.js';
import { tooManyImages } from './request.js';

/** Text fields, and their length. */
const MAX_FIELDS = 32;
const MAX_FIELD_BYTES = 65_536;
/** Headers of one part. */
const MAX_HEADERS = 32;
const MAX_HEADER_BYTES = 16_384;
const MAX_NAME_LENGTH = 255;
/** The Content-Type of a part that is an image, though it has no name. */
const FILE_TYPE = /^(image\/|application\/octet-stream\b)/i;
/** Bytes that the parser is given at once. A part may have five, and each costs some microseconds. */
const PIECE = 8192;
/**
 * Bytes of a part that may wait inside of the parser: more than come in one turn of the event loop. With less it pauses in parts
 * that it skips, and does not always go on behind them.
 */
const WAITING_BYTES = 2 ** 20;
/** Turns of the event loop in which a parser that has been given everything is over. It needs one. */
const LAST_TURNS = 10;

export interface MultipartReader {
  /** Throws INVALID_REQUEST or QUEUE_FULL as soon as the body has a fault. */
  write(chunk: Buffer): void;
  /** Resolves to the images when the body has ended. */
  end(): Promise<ImageInput[]>;
}

/** `open` gives each part the memory for its bytes. Throws INVALID_REQUEST if the headers name no boundary. */
export function createMultipartReader(
  headers: IncomingHttpHeaders,
  { maxImages, open }: { readonly maxImages: number; readonly open: () => HeldBody },
): MultipartReader {
  const parts: { readonly name: string; readonly body: HeldBody }[] = [];
  let failure: ServiceError | undefined;
  let hasBytes = false;
  const fail = (error: ServiceError): void => void (failure ??= error);
  const malformed = (cause?: unknown): void =>
    fail(new ServiceError('INVALID_REQUEST', 'The multipart body is malformed.', { cause }));
  const parser = createParser(headers, maxImages);
  // The parser may be done, or give up, long before the body has come, and says so only once.
  const over = new Promise<void>((resolve) => {
    parser.once('finish', resolve).once('error', (error: unknown) => {
      malformed(error);
      resolve();
    });
  });

  parser.on('file', (_field, stream, filename: string | undefined) => {
    const body = open();
    const name = filename === undefined || filename === '' ? `image-${parts.length}` : filename;
    parts.push({ name: Array.from(name).slice(0, MAX_NAME_LENGTH).join(''), body });
    stream.on('data', (chunk: Buffer) => {
      try {
        if (failure === undefined) body.append(chunk);
      } catch (error) {
        fail(error as ServiceError);
      }
    });
    stream.on('error', malformed);
  });
  parser.on('filesLimit', () => fail(tooManyImages(maxImages)));
  const tooManyFields = (): void =>
    fail(
      new ServiceError(
        'INVALID_REQUEST',
        `The form has too many fields beside its images; the limit is ${MAX_FIELDS}.`,
        { limit: { name: 'form_fields', value: MAX_FIELDS, needed: MAX_FIELDS + 1 } },
      ),
    );
  parser.on('fieldsLimit', tooManyFields).on('partsLimit', tooManyFields);

  return {
    write(chunk) {
      hasBytes = true;
      for (let at = 0; at < chunk.length && failure === undefined; at += PIECE) {
        parser.write(chunk.subarray(at, at + PIECE));
      }
      if (failure !== undefined) throw failure;
    },
    async end() {
      // The parser calls nothing malformed that it has been given nothing of.
      if (hasBytes) {
        parser.end();
        await Promise.race([over, afterLastTurns().then(malformed)]);
      }
      if (failure !== undefined) throw failure;
      return parts.map(({ name, body }) => ({ name, bytes: body.bytes() }));
    },
  };
}

/** The parser waits for nothing but the event loop: one that is not over then will never be. */
async function afterLastTurns(): Promise<void> {
  for (let turns = 0; turns < LAST_TURNS; turns += 1) await turn();
}

function createParser(headers: IncomingHttpHeaders, maxImages: number) {
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      isPartAFile: (_field, type, filename) => filename !== undefined || FILE_TYPE.test(type ?? ''),
      fileHwm: WAITING_BYTES,
      limits: {
        files: maxImages,
        fields: MAX_FIELDS,
        fieldSize: MAX_FIELD_BYTES,
        parts: maxImages + MAX_FIELDS + 1,
        headerPairs: MAX_HEADERS,
        headerSize: MAX_HEADER_BYTES,
      },
    }).on('error', () => undefined);
  } catch (error) {
    throw new ServiceError('INVALID_REQUEST', 'The multipart body is malformed: its Content-Type names no boundary.', {
      cause: error,
    });
  }
}
