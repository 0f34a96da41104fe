/**
 * Bodies that come compressed (Content-Encoding). They are inflated while they come, by the threads of zlib and not on the
 * event loop, a chunk at a time: no further chunk is taken before the last one is inflated and handed on. Whoever takes the
 * bytes counts them, and ends a body of too many; so a bomb costs no more than a body of that many bytes.
 *
 * Sources: RFC 9110, sections 8.4 (codings; deflate is the format of zlib, and some clients send it bare) and 15.5.16 (415).
 */
import type { Transform } from 'node:stream';
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Zlib,
  type ZlibOptions,
} from 'node:zlib';
import { ServiceError } from '../errors.js';

/** The codings that are taken, as Accept-Encoding lists them. */
export const CODINGS = ['gzip', 'deflate', 'br'] as const;
export type Coding = (typeof CODINGS)[number];

/** What is inflated at once. */
const OPTIONS = { chunkSize: 2 ** 16 } satisfies ZlibOptions;

/** The largest window of Brotli, in bytes. */
const BROTLI_WINDOW = 2 ** 24;

/** The memory of a decoder beside its window: what waits on either side of it, and for Brotli its tables of prefix codes. */
const DECODER_BYTES = { gzip: 2 ** 18, deflate: 2 ** 18, br: 2 ** 22 } as const satisfies Record<Coding, number>;

/** Header and trailer of gzip. */
const LEAST_GZIP = 18;

/** In sentences. */
const NAMES = { gzip: 'gzip', deflate: 'deflate', br: 'Brotli' } as const satisfies Record<Coding, string>;

/** The coding of a body; undefined if it has none. Throws UNSUPPORTED_ENCODING. */
export function codingOf(header: string | undefined): Coding | undefined {
  const names = (header ?? '')
    .split(',')
    .map((name) =>
      name
        .trim()
        .toLowerCase()
        .replace(/^x-gzip$/, 'gzip'),
    )
    .filter((name) => name !== '' && name !== 'identity');
  const [name] = names;
  if (name === undefined) return undefined;
  const coding = CODINGS.find((each) => each === name);
  if (coding !== undefined && names.length === 1) return coding;
  const detail =
    names.length > 1
      ? `A body may have one Content-Encoding, and this one has ${names.length}.`
      : `The Content-Encoding "${name.slice(0, 100)}" is not known.`;
  throw new ServiceError('UNSUPPORTED_ENCODING', detail, {
    errors: [{ parameter: 'Content-Encoding', detail: `must be one of ${CODINGS.join(', ')}, or identity` }],
  });
}

export interface Inflater {
  /** Resolves when all that is in the chunk has been taken. Rejects with what `take` throws, and with INVALID_REQUEST. */
  write(chunk: Buffer): Promise<void>;
  /** The body has ended. Resolves when all of it has been taken; rejects as `write` does. */
  end(): Promise<void>;
  /** Let its memory go. */
  close(): void;
}

export interface InflaterOptions {
  /** Given the bytes piece by piece; must not keep them. */
  readonly take: (piece: Buffer) => void;
  /** Told how much memory the inflater itself needs, when that grows. */
  readonly onMemory: (bytes: number) => void;
}

export function createInflater(coding: Coding, { take, onMemory }: InflaterOptions): Inflater {
  let stream: (Transform & Zlib) | undefined;
  let failure: Error | undefined;
  /** Wakes whoever waits for a chunk or the end. */
  let wake: () => void = () => undefined;
  let hasEnded = false;
  let given = 0;
  let inflated = 0;

  const fail = (error: Error): void => {
    failure ??= error;
    stream?.destroy();
    wake();
  };

  function open(first: number): Transform & Zlib {
    onMemory(DECODER_BYTES[coding]);
    const opened = createStream(coding, first);
    opened.on('data', (piece: Buffer) => {
      if (failure !== undefined) return;
      try {
        if (coding === 'br' && inflated < BROTLI_WINDOW) {
          onMemory(DECODER_BYTES.br + Math.min(BROTLI_WINDOW, inflated + piece.length));
        }
        inflated += piece.length;
        take(piece);
      } catch (error) {
        fail(error as Error);
      }
    });
    opened.on('error', (error: NodeJS.ErrnoException) => {
      // Behind its end, gzip may go on with more gzip, and with nothing else.
      const isBehind = opened.bytesWritten >= LEAST_GZIP && error.message === 'incorrect header check';
      fail(isBehind ? trailing(coding) : faultOf(coding, error));
    });
    opened.on('end', () => {
      hasEnded = true;
      wake();
    });
    return opened;
  }

  /** Wait for what is begun, for the end of the compressed bytes, or for a failure. */
  async function until(begin: (done: () => void) => unknown): Promise<void> {
    if (failure === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        begin(resolve);
      });
    }
    if (failure !== undefined) throw failure;
  }

  return {
    async write(chunk) {
      if (chunk.length === 0) return;
      if (hasEnded) throw trailing(coding);
      const opened = (stream ??= open(chunk[0]!));
      given += chunk.length;
      await until((done) => opened.write(chunk, () => done()));
    },
    async end() {
      const opened = stream;
      if (opened === undefined) return;
      if (!hasEnded) await until(() => opened.end());
      if (opened.bytesWritten < given) throw trailing(coding);
    },
    close() {
      stream?.destroy();
    },
  };
}

/** `first`: the first byte, which tells whether deflate has the header of zlib: its method is 8. */
function createStream(coding: Coding, first: number): Transform & Zlib {
  switch (coding) {
    case 'gzip':
      return createGunzip(OPTIONS);
    case 'deflate':
      return (first & 15) === 8 ? createInflate(OPTIONS) : createInflateRaw(OPTIONS);
    case 'br':
      return createBrotliDecompress(OPTIONS);
  }
}

function faultOf(coding: Coding, cause: NodeJS.ErrnoException): ServiceError {
  const isShort = cause.code === 'Z_BUF_ERROR';
  const detail = isShort
    ? `The body ends in the middle of its ${NAMES[coding]} data.`
    : `The body is not ${NAMES[coding]}, as its Content-Encoding says.`;
  return new ServiceError('INVALID_REQUEST', detail, { cause });
}

function trailing(coding: Coding): ServiceError {
  return new ServiceError('INVALID_REQUEST', `The body goes on behind the end of its ${NAMES[coding]} data.`);
}
