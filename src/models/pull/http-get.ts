/**
 * A GET that follows redirects and returns the first origin's statements about the file. The Hugging Face hub answers
 * with a redirect to the content and with headers: `X-Linked-ETag` (the sha256 of a file in LFS), `X-Linked-Size`,
 * `X-Repo-Commit`. Only the first origin's headers are believed, and only it gets credentials.
 *
 * A proxy in HTTPS_PROXY or HTTP_PROXY is used, except for the hosts in NO_PROXY.
 *
 * Source: huggingface_hub, `constants.py` and `file_download.py` (names of the headers).
 */
import { Agent, EnvHttpProxyAgent, request, type Dispatcher } from 'undici';
import { OperatorError } from '../../errors.js';

export interface GetOptions {
  /** Value of the Authorization header. */
  readonly authorization?: string | undefined;
  /** Sent to every address on the way. */
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Longest silence of a server before the request fails. */
  readonly stallMs: number;
}

/** The answer of the last address, with status 200, 206 or 416. */
export interface Answer {
  readonly status: number;
  header(name: string): string | undefined;
  readonly about: AboutFile;
  /** Must be read to its end, or dropped with `discard`. Throws Transient if the connection breaks or stalls. */
  content(): AsyncIterable<Uint8Array>;
  discard(): void;
}

export interface AboutFile {
  readonly sha256?: string;
  /** Bytes. */
  readonly size?: number;
  readonly commit?: string;
}

export interface HttpClient {
  /** Throws Transient for failures that may pass, and OperatorError for those that will not. */
  get(url: URL, options: GetOptions): Promise<Answer>;
  close(): Promise<void>;
}

/** A failure that may not occur again. */
export class Transient extends Error {
  override name = 'Transient';
  /** The wait that the server asked for. */
  readonly waitMs: number;

  constructor(message: string, waitMs = 0, options?: ErrorOptions) {
    super(message, options);
    this.waitMs = waitMs;
  }
}

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];
const CONTENT = [200, 206, 416];
const TRANSIENT_STATUSES = [408, 425, 429, 500, 502, 503, 504];
const TRANSIENT_CODES = [
  ...['UND_ERR_SOCKET', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT'],
  ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'ETIMEDOUT', 'EPIPE', 'EAI_AGAIN'],
];
/** Limit for the wait that a server may ask for. */
const MAX_WAIT_MS = 60_000;

export function createHttpClient(): HttpClient {
  const proxies = ['HTTPS_PROXY', 'HTTP_PROXY'].flatMap((name) => [process.env[name], process.env[name.toLowerCase()]]);
  const dispatcher = proxies.some(Boolean) ? new EnvHttpProxyAgent() : new Agent();
  return {
    get: (url, options) => follow(url, options, dispatcher),
    close: () => dispatcher.destroy(),
  };
}

async function follow(url: URL, options: GetOptions, dispatcher: Dispatcher): Promise<Answer> {
  let about: AboutFile = {};
  let current = url;
  for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
    const isAsked = current.origin === url.origin;
    const response = await send(current, isAsked ? options : { ...options, authorization: undefined }, dispatcher);
    const header = (name: string): string | undefined => {
      const value = response.headers[name];
      return typeof value === 'string' ? value : value?.[0];
    };
    if (isAsked) about = { ...aboutFile(header), ...about };
    const { statusCode: status } = response;
    if (CONTENT.includes(status)) {
      return {
        status,
        header,
        about,
        content: () => contentOf(response.body),
        discard: () => void response.body.destroy(),
      };
    }
    response.body.destroy();
    if (!REDIRECTS.includes(status)) throw refusal(current, status, header('retry-after'));
    current = redirected(url, current, header('location') ?? '');
  }
  throw new OperatorError(`${shown(url)}: redirects more than ${MAX_REDIRECTS} times`);
}

async function send(url: URL, options: GetOptions, dispatcher: Dispatcher): Promise<Dispatcher.ResponseData> {
  const { authorization, headers, signal, stallMs } = options;
  try {
    const response = await request(url, {
      headers: {
        'user-agent': 'fullconv',
        'accept-encoding': 'identity',
        ...headers,
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(signal === undefined ? {} : { signal }),
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
      dispatcher,
    });
    // A connection that breaks before the body is read must not end the process. A later read still gets the error.
    response.body.on('error', () => undefined);
    return response;
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(url, error);
  }
}

/** The target of a redirect. Throws OperatorError unless it is https, or http after an http address was asked for. */
function redirected(asked: URL, from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  const isAllowed = to?.protocol === 'https:' || (to?.protocol === 'http:' && asked.protocol === 'http:');
  if (to === undefined || !isAllowed) {
    throw new OperatorError(`${shown(from)}: redirects to "${location.replace(/[?#].*$/s, '')}", which is not https`);
  }
  return to;
}

function aboutFile(header: (name: string) => string | undefined): AboutFile {
  const [sha256] = /[0-9a-f]{64}/.exec(header('x-linked-etag') ?? '') ?? [];
  const size = header('x-linked-size');
  const commit = header('x-repo-commit');
  return {
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(size !== undefined && /^\d{1,15}$/.test(size) ? { size: Number(size) } : {}),
    ...(commit !== undefined && /^[0-9a-f]{40}$/.test(commit) ? { commit } : {}),
  };
}

/** An address for messages: without its query, which may be a signature, and without credentials. */
function shown({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

function refusal(url: URL, status: number, retryAfter?: string): Error {
  if (TRANSIENT_STATUSES.includes(status)) {
    const seconds = Number(retryAfter ?? 0);
    return new Transient(`${url.host} answers ${status}`, Math.min((seconds || 0) * 1000, MAX_WAIT_MS));
  }
  const hints = new Map([
    [401, ': the file does not exist, or needs a token (HF_TOKEN)'],
    [403, ': the token (HF_TOKEN) is missing or insufficient'],
    [404, ': the file does not exist'],
  ]);
  return new OperatorError(`${shown(url)} answers ${status}${hints.get(status) ?? ''}`);
}

function unreachable(url: URL, error: unknown): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (TRANSIENT_CODES.includes(code)) return new Transient(message || code, 0, { cause: error });
  return new OperatorError(`${url.origin} cannot be reached: ${message || code}`, { cause: error });
}

async function* contentOf(body: Dispatcher.ResponseData['body']): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk as Uint8Array;
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new Transient(message || code, 0, { cause: error });
  }
}
