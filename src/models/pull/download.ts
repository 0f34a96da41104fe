/**
 * Streams one file over HTTP to disk. The file gets its name only when it is whole and its size and sha256 are right.
 * An interrupted download is resumed, by the next try or a later call, if the server still has the same content.
 *
 * Source: RFC 9110 §13.1.5 (If-Range), §14 (ranges).
 */
import { mkdir, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../errors.js';
import { stampModelFile } from '../files/file-access.js';
import { createHttpClient, Transient, type AboutFile, type Answer, type HttpClient } from './http-get.js';
import { dropPart, finishPart, openPart, partPath, partSize, readPart, type Part } from './partial-file.js';

/** Known properties of a file; missing ones are not checked. */
export interface Expected {
  readonly sha256?: string | undefined;
  /** Bytes. */
  readonly size?: number | undefined;
}

export interface Wanted extends Expected {
  /** An address without credentials. */
  readonly url: URL;
}

export interface DownloadOptions {
  /** Value of the Authorization header, which is sent to the URL's origin only. */
  readonly authorization?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes received so far, and with the total if it is known. */
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  /** Called before each repeated try with the reason and the wait. */
  readonly onRetry?: ((reason: string, waitMs: number) => void) | undefined;
  /** Longest silence of a server before a try fails. */
  readonly stallMs?: number;
  /** Limit for tries in a row without new bytes. */
  readonly attempts?: number;
  /** Limit for all tries, with or without new bytes. */
  readonly allAttempts?: number;
  /** Wait before the first repetition; it doubles with each further one. */
  readonly backoffMs?: number;
  readonly maxBytes?: number;
}

/** A downloaded or copied file after its check. */
export interface Checked {
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Whether the sha256 was known before and matched. */
  readonly verified: boolean;
}

export interface Downloaded extends Checked {
  /** Commit of the repository, if the server tells it. */
  readonly commit: string | undefined;
}

const STALL_MS = 30_000;
const ATTEMPTS = 5;
/** Enough for 8 GB in pieces of 20 MB. */
const ALL_ATTEMPTS = 400;
const BACKOFF_MS = 1000;
const MAX_BYTES = 8 * 2 ** 30;

/**
 * Download to `file`. Throws OperatorError naming the fault of the address, the file or the connection, and the
 * signal's reason if the signal aborts. The part stays for the next call unless it is useless.
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
    // The old part of a resumed file may be at fault, so try again. A file in one piece is what the server has.
    throw part !== undefined && error instanceof OperatorError ? new Outdated(error.message) : error;
  });
  await finishPart(file);
  return { ...checked, commit: answer.about.commit };
}

/** The part is useless, because the server has other content. */
class Outdated extends Transient {}

/** The part, if it seems to belong to this file and its ETag or sha256 can verify that; otherwise undefined. */
function resumable(part: Part | undefined, { url, sha256: digest }: Wanted): Part | undefined {
  if (part === undefined) return undefined;
  const { of } = part;
  const isSame = digest !== undefined && of.sha256 !== undefined ? digest === of.sha256 : url.href === of.url;
  return isSame && (of.etag ?? of.sha256) !== undefined ? part : undefined;
}

/** Asks for the rest of the file. Without an ETag for If-Range, the sha256 of the whole file verifies the parts. */
function rangeHeaders({ bytes, of: { etag } }: Part): Record<string, string> {
  return { range: `bytes=${bytes}-`, ...(etag === undefined ? {} : { 'if-range': etag }) };
}

/** Whether both values are known and differ. */
function contradicts<T>(known: T | undefined, said: T | undefined): boolean {
  return known !== undefined && said !== undefined && known !== said;
}

/** The catalog's and the server's statements combined. Throws OperatorError if they contradict each other. */
function agree({ url, sha256: digest, size }: Wanted, about: AboutFile): Expected {
  if (contradicts(digest, about.sha256)) {
    throw new OperatorError(`${url.href}: the server's sha256 is ${about.sha256 ?? ''}, but must be ${digest ?? ''}`);
  }
  if (contradicts(size, about.size)) throw wrongSize(url, about.size, size);
  return { sha256: digest ?? about.sha256, size: size ?? about.size };
}

function wrongSize(url: URL, found: number | undefined, expected: number | undefined): OperatorError {
  return new OperatorError(`${url.href}: the server's file has ${found ?? ''} bytes, but must have ${expected ?? ''}`);
}

/**
 * The byte at which the answer's content begins; `whole` if the part is complete. Throws Outdated for a useless part.
 */
function whereToGoOn(answer: Answer, part: Part | undefined, { sha256: digest }: Expected): number | 'whole' {
  if (answer.status === 200) return 0;
  const [, first, length] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(answer.header('content-range') ?? '') ?? [];
  const isSame =
    part !== undefined && !contradicts(part.of.etag, answer.header('etag')) && !contradicts(part.of.sha256, digest);
  const fits = isSame && Number(answer.status === 206 ? first : length) === part.bytes;
  if (!fits) throw new Outdated('the part belongs to another file');
  return answer.status === 206 ? part.bytes : 'whole';
}

/** Write the content to the part, from `offset` on. Throws Transient if the content ends too early. */
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
    throw new OperatorError(`${folder}: ${bytes} bytes are needed, but only ${bavail * bsize} are free`);
  }
}

/** Check size and sha256 of a file, reading it once. Throws OperatorError naming `source` if they differ. */
export async function checkFile(file: string, expected: Expected, source: string): Promise<Checked> {
  const { size } = await stat(file);
  if (expected.size !== undefined && size !== expected.size) {
    throw new OperatorError(`${source}: has ${size} bytes, but must have ${expected.size}`);
  }
  const { sha256: digest } = await stampModelFile(file);
  if (expected.sha256 !== undefined && digest !== expected.sha256) {
    throw new OperatorError(`${source}: the sha256 is ${digest}, but must be ${expected.sha256}`);
  }
  return { sha256: digest, size, verified: expected.sha256 !== undefined };
}
