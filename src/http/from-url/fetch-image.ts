/**
 * Fetches the bytes of an image from a host that a setting names. Each step, redirects among them, is held against the settings and
 * made with a connection of its own, whose address is checked while it is made (guarded-lookup.ts). Nothing of the client's
 * request goes along: no cookies, no credentials. Proxies of the environment are not used: behind one, nobody could check the address.
 *
 * What an origin sends is bounded as what a client sends is (receive-body.ts), and charged to the client. Messages for clients have a
 * status at most of what the origin said, and never an address.
 */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { ServiceError, toServiceError, type ExceededLimit } from '../../errors.js';
import { VERSION } from '../../version.js';
import type { BodyAccount } from '../body-memory.js';
import { createPace, PACE_MS } from '../pace.js';
import { redirectTarget, wrongUrl, type HostSettings, type Source } from './allowed-hosts.js';
import { checkLiteral, guardedLookup, RefusedAddressError, type Resolve } from './guarded-lookup.js';

export interface FetchOptions {
  readonly hosts: HostSettings;
  readonly resolve: Resolve;
  /** What holds the bytes. */
  readonly account: BodyAccount;
  readonly maxBytes: number;
  /** Longest time for all of it. */
  readonly timeoutMs: number;
  /** Bytes a second, on average over PACE_MS; 0 for any. */
  readonly minRate: number;
  /** When the client wants no answer any more, in milliseconds of `performance.now()`. */
  readonly deadline: number;
  /** Aborted when nobody waits any more; its reason is thrown. */
  readonly signal: AbortSignal;
}

const MAX_REDIRECTS = 3;
const REDIRECTS = [301, 302, 303, 307, 308];
const NOWHERE = 'The host of the URL redirects to where nothing is fetched from.';
/** As many short chunks as a client's body may have; see receive-body.ts. */
const FREE_CHUNKS = 10_000;
const MIN_CHUNK_BYTES = 64;

/**
 * The bytes behind a source; they lie in the account. Throws INVALID_REQUEST where its name leads to no allowed address, IMAGE_NOT_FETCHED for what
 * the origin did, BODY_TOO_LARGE, DEADLINE_EXCEEDED, the signal's reason, and what the account throws.
 */
export async function fetchImage(source: Source, options: FetchOptions): Promise<Buffer> {
  const { timeoutMs, deadline, signal } = options;
  const over = new AbortController();
  const end = (): void => over.abort(signal.reason);
  if (signal.aborted) end();
  signal.addEventListener('abort', end);
  const left = deadline - performance.now();
  const late = left <= timeoutMs ? deadlinePassed() : tooSlow(timeoutMs);
  const timer = setTimeout(() => over.abort(late), Math.max(0, Math.min(timeoutMs, left)));
  try {
    const response = await follow(source, options, over.signal);
    return await read(response, options, over);
  } catch (error) {
    // Whatever breaks because of it.
    throw over.signal.aborted ? (over.signal.reason as Error) : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    // No connection stays.
    over.abort();
  }
}

async function follow(first: Source, { hosts, resolve }: FetchOptions, signal: AbortSignal): Promise<IncomingMessage> {
  let source = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const response = await open(source, resolve, signal).catch((error: unknown) => {
      throw asUnreachable(error, source === first);
    });
    const { statusCode: status = 0, headers } = response;
    if (status === 200) return response;
    response.destroy();
    if (!REDIRECTS.includes(status)) throw notFetched(`The host of the URL answers ${status}.`);
    const target = redirectTarget(source, headers.location, hosts);
    if (target === undefined) throw notFetched(NOWHERE);
    source = target;
  }
  throw notFetched(`The host of the URL redirects more than ${MAX_REDIRECTS} times.`);
}

function open(source: Source, resolve: Resolve, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, reach } = source;
  return new Promise((fulfil, reject) => {
    checkLiteral(source);
    const options = {
      // Its connection serves no other request, and is closed behind this one.
      agent: false,
      lookup: guardedLookup(reach, resolve, signal),
      signal,
      headers: { 'user-agent': `fullconv/${VERSION}`, accept: 'image/*', 'accept-encoding': 'identity' },
    };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options);
    request.on('error', reject);
    // One that switches to another protocol ends without an error. Behind a response, this does nothing.
    request.on('close', () => reject(new Error('there was no response')));
    request.on('response', (response) => {
      // One that breaks before it is read must not end the process.
      response.on('error', () => undefined);
      fulfil(response);
    });
    request.end();
  });
}

async function read(
  response: IncomingMessage,
  { account, maxBytes, minRate }: FetchOptions,
  over: AbortController,
): Promise<Buffer> {
  const { 'content-encoding': coding = 'identity', 'content-length': length } = response.headers;
  if (coding !== 'identity')
    throw notFetched('The host of the URL sends the image compressed, though it was asked not to.');
  const announced = length === undefined ? undefined : Number(length);
  if (announced !== undefined && announced > maxBytes) throw tooLarge(maxBytes, announced);
  account.expect(announced ?? 0);
  const body = account.open(announced ?? maxBytes);
  const pace = createPace(minRate);
  let received = 0;
  let chunks = 0;
  const watch = setInterval(() => {
    if (pace.isTooSlow(received, performance.now())) over.abort(tooSlow(minRate, 'body_rate'));
  }, PACE_MS / 2);
  pace.restart(0, performance.now());
  const take = (chunk: Buffer): void => {
    received += chunk.length;
    chunks += 1;
    if (received > maxBytes) throw tooLarge(maxBytes, received);
    if (chunks > FREE_CHUNKS && received < chunks * MIN_CHUNK_BYTES) {
      throw notFetched('The host of the URL sends the image in too many chunks of a few bytes each.');
    }
    body.append(chunk);
  };
  try {
    await allOf(response, take);
  } finally {
    clearInterval(watch);
  }
  if (received === 0) throw notFetched('The host of the URL answers without an image.');
  return body.bytes();
}

/** Hand each chunk to `take`, as it came: read in another way, small ones would come together. Rejects with what it throws. */
function allOf(response: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    response.on('data', (chunk: Buffer) => {
      try {
        take(chunk);
      } catch (error) {
        response.destroy();
        reject(toServiceError(error));
      }
    });
    response.on('end', resolve);
    response.on('close', () => reject(notFetched('The host of the URL broke off before the image had come.')));
  });
}

function asUnreachable(error: unknown, isFirst: boolean): ServiceError {
  if (!(error instanceof RefusedAddressError)) return notFetched('The host of the URL cannot be reached.', error);
  if (isFirst) return wrongUrl('must be of a host with a public address, and none besides', error);
  return notFetched(NOWHERE, error);
}

function notFetched(detail: string, cause?: unknown, limit?: ExceededLimit): ServiceError {
  return new ServiceError('IMAGE_NOT_FETCHED', detail, { cause, limit });
}

function tooLarge(value: number, needed: number): ServiceError {
  return new ServiceError('BODY_TOO_LARGE', `The image has more than ${value} bytes, which is the limit.`, {
    limit: { name: 'body_bytes', value, needed },
  });
}

function tooSlow(value: number, name: 'request_time' | 'body_rate' = 'request_time'): ServiceError {
  const how = name === 'body_rate' ? `slower than ${value} bytes a second` : `for longer than ${value} ms`;
  return notFetched(`The host of the URL sends the image ${how}.`, undefined, { name, value });
}

function deadlinePassed(): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the image had come.');
}
