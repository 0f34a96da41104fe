/**
 * One file over HTTP, streamed to disk. It has its name only once it is whole and its size and sha256 are right; what
 * was cut off is gone on with, by the next try or by a later call, as long as the server still has the same content.
 *
 * Source: RFC 9110 §13.1.5 (If-Range), §14 (ranges).
 */
import { mkdir, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../errors.js';
import { sha256 } from '../files/digest.js';
import { createHttpClient, Transient, type AboutFile, type Answer, type HttpClient } from './http-get.js';
import { dropPart, finishPart, openPart, partPath, partSize, readPart, type Part } from './partial-file.js';

/** What a file is known to be; what is left out is not checked. */
export interface Expected {
  readonly sha256?: string | undefined;
  /** Bytes. */
  readonly size?: number | undefined;
}

export interface Wanted extends Expected {
  /** Without credentials. */
  readonly url: URL;
}

export interface DownloadOptions {
  /** The header of that name, for the origin of the URL alone. */
  readonly authorization?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of the bytes there are, and of those there will be where that is known. */
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  /** Told why it waits and tries again. */
  readonly onRetry?: ((reason: string, waitMs: number) => void) | undefined;
  /** Longest silence of a server. */
  readonly stallMs?: number;
  /** Tries in a row that bring nothing. */
  readonly attempts?: number;
  /** Tries in all, however much they bring. */
  readonly allAttempts?: number;
  /** Wait before the first repetition; it doubles from one to the next. */
  readonly backoffMs?: number;
  readonly maxBytes?: number;
}

/** A file as it turned out to be. */
export interface Checked {
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Somebody had said what the sha256 must be. */
  readonly verified: boolean;
}

export interface Downloaded extends Checked {
  /** Commit of the repository, where the server tells it. */
  readonly commit: string | undefined;
}

const STALL_MS = 30_000;
const ATTEMPTS = 5;
/** Of 8 GB, 20 MB each. */
const ALL_ATTEMPTS = 400;
const BACKOFF_MS = 1000;
const MAX_BYTES = 8 * 2 ** 30;

/**
 * Download to `file`. Throws OperatorError that says what is wrong with the address, the file or the connection, and the
 * signal's reason when that ends it; the part stays for the next call unless it is of no use.
 */
export async function download(wanted: Wanted, file: string, options: DownloadOptions = {}): Promise<Downloaded> {
  const { attempts = ATTEMPTS, allAttempts = ALL_ATTEMPTS, backoffMs = BACKOFF_MS, signal, onRetry } = options;
  await mkdir(dirname(file), { recursive: true });
  const http = createHttpClient();
  try {
    for (let failures = 0, tries = 1; ; tries += 1) {
      const before = await partSize(file);
      try {
        return await attempt(http, wanted, file, options);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Transient)) throw error;
        failures = (await partSize(file)) > before ? 1 : failures + 1;
        if (failures >= attempts || tries >= allAttempts) {
          throw new OperatorError(`${wanted.url.href}: ${error.message}; tried ${tries} times`, { cause: error });
        }
        const waitMs = Math.max(error.waitMs, backoffMs * 2 ** (failures - 1));
        onRetry?.(error.message, waitMs);
        await sleep(waitMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
      }
    }
  } finally {
    await http.close();
  }
}

async function attempt(http: HttpClient, wanted: Wanted, file: string, options: DownloadOptions): Promise<Downloaded> {
  const { authorization, signal, stallMs = STALL_MS } = options;
  const { url } = wanted;
  const part = resumable(await readPart(file), wanted);
  const headers = part === undefined ? {} : rangeHeaders(part);
  const answer = await http.get(url, { authorization, headers, signal, stallMs });
  let expected: Expected;
  try {
    expected = agree(wanted, answer.about);
    const offset = whereToGoOn(answer, part, expected);
    if (offset !== 'whole') await receive(answer, { ...expected, url }, file, offset, options);
  } catch (error) {
    answer.discard();
    if (error instanceof Outdated) await dropPart(file);
    throw error;
  }
  answer.discard();
  const checked = await checkFile(partPath(file), expected, url.href).catch(async (error: unknown) => {
    await dropPart(file);
    // What was there before may be to blame; what came in one piece is what the server has.
    throw part !== undefined && error instanceof OperatorError ? new Outdated(error.message) : error;
  });
  await finishPart(file);
  return { ...checked, commit: answer.about.commit };
}

/** The part is of no use: the server has other content. */
class Outdated extends Transient {}

/** The part, where it is of this file as far as anybody knows, and the server can be asked to make sure. */
function resumable(part: Part | undefined, { url, sha256: digest }: Wanted): Part | undefined {
  if (part === undefined) return undefined;
  const { of } = part;
  const isSame = digest !== undefined && of.sha256 !== undefined ? digest === of.sha256 : url.href === of.url;
  return isSame && (of.etag ?? of.sha256) !== undefined ? part : undefined;
}

/** Without If-Range the sha256 tells in the end whether the parts belong together. */
function rangeHeaders({ bytes, of: { etag } }: Part): Record<string, string> {
  return { range: `bytes=${bytes}-`, ...(etag === undefined ? {} : { 'if-range': etag }) };
}

/** Both are known, and differ. */
function contradicts<T>(known: T | undefined, said: T | undefined): boolean {
  return known !== undefined && said !== undefined && known !== said;
}

/** What the catalog and the server say together. Throws OperatorError where they contradict each other. */
function agree({ url, sha256: digest, size }: Wanted, about: AboutFile): Expected {
  if (contradicts(digest, about.sha256)) {
    throw new OperatorError(`${url.href}: the server has the sha256 ${about.sha256 ?? ''}, it must be ${digest ?? ''}`);
  }
  if (contradicts(size, about.size)) throw wrongSize(url, about.size, size);
  return { sha256: digest ?? about.sha256, size: size ?? about.size };
}

function wrongSize(url: URL, found: number | undefined, expected: number | undefined): OperatorError {
  return new OperatorError(`${url.href}: the server has ${found ?? ''} bytes, it must be ${expected ?? ''}`);
}

/** The byte at which the content of the answer begins; `whole` where nothing is missing. Throws Outdated. */
function whereToGoOn(answer: Answer, part: Part | undefined, { sha256: digest }: Expected): number | 'whole' {
  if (answer.status === 200) return 0;
  const [, first, length] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(answer.header('content-range') ?? '') ?? [];
  const isSame =
    part !== undefined && !contradicts(part.of.etag, answer.header('etag')) && !contradicts(part.of.sha256, digest);
  const fits = isSame && Number(answer.status === 206 ? first : length) === part.bytes;
  if (!fits) throw new Outdated('what was there is of another file');
  return answer.status === 206 ? part.bytes : 'whole';
}

/** Write the content to the part, from `offset` on. Throws Transient when it ends too early. */
async function receive(
  answer: Answer,
  { url, sha256: digest, size }: Wanted,
  file: string,
  offset: number,
  { onProgress, maxBytes = MAX_BYTES }: DownloadOptions,
): Promise<void> {
  const length = answer.header('content-length');
  const declared = length === undefined ? undefined : offset + Number(length);
  if (declared !== undefined && size !== undefined && declared !== size) throw wrongSize(url, declared, size);
  const total = size ?? declared;
  if (total !== undefined && total > maxBytes) throw tooLarge(url, maxBytes);
  if (total !== undefined) await checkSpace(dirname(file), total - offset);

  const etag = answer.header('etag');
  const of = { url: url.href, sha256: digest, etag: etag?.startsWith('"') ? etag : undefined };
  const handle = await openPart(file, of, offset);
  let done = offset;
  try {
    onProgress?.(done, total);
    for await (const chunk of answer.content()) {
      if (done + chunk.byteLength > (total ?? maxBytes)) throw tooLarge(url, total ?? maxBytes);
      await handle.appendFile(chunk);
      done += chunk.byteLength;
      onProgress?.(done, total);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (total !== undefined && done < total) throw new Transient(`ended after ${done} of ${total} bytes`);
}

function tooLarge(url: URL, maxBytes: number): OperatorError {
  return new OperatorError(`${url.href}: has more than ${maxBytes} bytes`);
}

async function checkSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < bytes) {
    throw new OperatorError(`${folder}: ${bytes} bytes are needed, and ${bavail * bsize} are free`);
  }
}

/** Read a file once. Throws OperatorError, which names `source`, when it is not what is expected. */
export async function checkFile(file: string, expected: Expected, source: string): Promise<Checked> {
  const { size } = await stat(file);
  if (expected.size !== undefined && size !== expected.size) {
    throw new OperatorError(`${source}: has ${size} bytes, it must be ${expected.size}`);
  }
  const digest = await sha256(file);
  if (expected.sha256 !== undefined && digest !== expected.sha256) {
    throw new OperatorError(`${source}: what came has the sha256 ${digest}, it must be ${expected.sha256}`);
  }
  return { sha256: digest, size, verified: expected.sha256 !== undefined };
}
