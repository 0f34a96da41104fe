/**
 * Reads a multipart/form-data body while it comes: each part with a file name or the Content-Type of an image becomes one
 * image, and every other part is a parameter (form-fields.ts), whether it stands before the images or behind them. The parser
 * keeps at most one chunk, and one text.
 *
 * Source: RFC 7578.
 */
import { Busboy } from '@fastify/busboy';
import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { HeldBody } from './body-memory.js';
import { createFormFields, MAX_FIELD_BYTES, MAX_FIELDS, type Fields } from './form-fields.js';
import { tooManyImages } from './request.js';

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
/**
 * A parser that has been given everything is over within a turn of the event loop. One that is not over after both of these is
 * stuck.
 */
const LAST_TURNS = 10;
const LAST_MS = 500;

/** How the bytes of a part may be written: as they are. */
const PLAIN = /^(7bit|8bit|binary)$/i;

/** What a form has. */
export interface Form {
  readonly images: readonly ImageInput[];
  readonly fields: Readonly<Fields>;
}

export interface MultipartReader {
  /** Throws INVALID_REQUEST, QUEUE_FULL or RATE_LIMITED as soon as the body has a fault. */
  write(chunk: Buffer): void;
  /**
   * Resolves to what the form has when the body has ended. Rejects with INVALID_REQUEST, and with DEADLINE_EXCEEDED at the
   * deadline, in milliseconds of `performance.now()`.
   */
  end(deadline: number): Promise<Form>;
}

/** `open` gives each part the memory for its bytes. Throws INVALID_REQUEST if the headers name no boundary. */
export function createMultipartReader(
  headers: IncomingHttpHeaders,
  { maxImages, open }: { readonly maxImages: number; readonly open: () => HeldBody },
): MultipartReader {
  const parts: { readonly filename: string | undefined; readonly body: HeldBody }[] = [];
  const { fields, add } = createFormFields();
  let failure: ServiceError | undefined;
  let hasBytes = false;
  let isOver = false;
  const fail = (error: ServiceError): void => void (failure ??= error);
  const malformed = (cause?: unknown): void =>
    fail(new ServiceError('INVALID_REQUEST', 'The multipart body is malformed.', { cause }));
  const parser = createParser(headers, maxImages);
  // The parser may be done, or give up, long before the body has come, and says so only once.
  parser
    .once('finish', () => (isOver = true))
    .once('error', (error: unknown) => {
      malformed(error);
      isOver = true;
    });

  const checkEncoding = (name: string | undefined, encoding: string): void => {
    if (PLAIN.test(encoding)) return;
    const detail = `is in ${encoding.slice(0, 100)}; the parts of a form have no Content-Transfer-Encoding`;
    fail(
      new ServiceError('INVALID_REQUEST', 'The form has a part whose bytes are not written as they are.', {
        errors: [{ parameter: (name ?? '').slice(0, 100), detail }],
      }),
    );
  };
  parser.on('file', (field: string | undefined, stream, filename: string | undefined, encoding) => {
    checkEncoding(field, encoding);
    const body = open();
    parts.push({ filename, body });
    stream.on('data', (chunk: Buffer) => {
      try {
        if (failure === undefined) body.append(chunk);
      } catch (error) {
        fail(error as ServiceError);
      }
    });
    stream.on('error', malformed);
  });
  parser.on('field', (name: string | undefined, value, _isNameCut, isCut, encoding) => {
    checkEncoding(name, encoding);
    try {
      if (failure === undefined) add(name, value, isCut);
    } catch (error) {
      fail(error as ServiceError);
    }
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
    async end(deadline) {
      // The parser calls nothing malformed that it has been given nothing of.
      if (hasBytes) {
        parser.end();
        if (await isStuck(() => isOver, deadline)) malformed();
      }
      if (failure !== undefined) throw failure;
      return { images: parts.map(imageOf).filter((image) => image !== undefined), fields };
    },
  };
}

/** A part as an image. A browser sends one without a name and without bytes where no file was chosen: that is none. */
function imageOf(
  { filename, body }: { readonly filename: string | undefined; readonly body: HeldBody },
  position: number,
): ImageInput | undefined {
  const bytes = body.bytes();
  if (filename === '' && bytes.length === 0) return undefined;
  const name = filename === undefined || filename === '' ? `image-${position}` : filename;
  return { name: Array.from(name).slice(0, MAX_NAME_LENGTH).join(''), bytes };
}

/** Wait for a parser that has been given everything. Resolves to whether it will never be over. */
async function isStuck(isOver: () => boolean, deadline: number): Promise<boolean> {
  const stuckAt = performance.now() + LAST_MS;
  for (let turns = 0; !isOver(); turns += 1) {
    const now = performance.now();
    if (now >= deadline) throw new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the form was read.');
    if (turns < LAST_TURNS) await turn();
    else if (now >= stuckAt) return true;
    else await sleep(Math.min(LAST_MS / 10, deadline - now));
  }
  return false;
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
