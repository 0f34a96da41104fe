/** One request on a connection of its own, as the bytes that it is, and the answer to it. */
import { connect } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** All of the body has come. */
  readonly isWhole: boolean;
}

export interface Exchange {
  /** Undefined if none came, or no HTTP. */
  readonly answer: Answer | undefined;
  /** From the first byte of the request to the last of the answer, or to the end of the connection. */
  readonly milliseconds: number;
  /** The connection could not be made: the server is gone. */
  readonly isRefused: boolean;
  /** All that came. */
  readonly received: Buffer;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** Send a request and read the answer, for so long. A request that is cut short is one that has ended. */
export function exchange(url: string, request: Buffer, limitMs: number): Promise<Exchange> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve) => {
    const started = performance.now();
    const pieces: Buffer[] = [];
    let isRefused = false;
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      const received = Buffer.concat(pieces);
      resolve({ answer: parseAnswer(received, true), milliseconds: performance.now() - started, isRefused, received });
    };
    const timer = setTimeout(finish, limitMs);
    socket
      .on('error', ({ code }: NodeJS.ErrnoException) => (isRefused ||= code === 'ECONNREFUSED'))
      .on('data', (piece) => {
        pieces.push(piece);
        if (parseAnswer(Buffer.concat(pieces), false)?.isWhole === true) finish();
      })
      .on('end', finish)
      .on('close', finish);
    socket.write(request);
    if (framing(request) === 'broken') socket.end();
  });
}

/** The last answer in the bytes that is not an interim one. `hasEnded`: nothing more comes. */
export function parseAnswer(bytes: Buffer, hasEnded: boolean): Answer | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const [, digits] = /^HTTP\/1\.1 ([1-5]\d\d) ?/.exec(first) ?? [];
  if (digits === undefined) return undefined;
  const rest = bytes.subarray(end + HEAD_END.length);
  const status = Number(digits);
  if (status < 200) return parseAnswer(rest, hasEnded);
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const length = headers.get('content-length');
  if (headers.get('transfer-encoding') === 'chunked') return { status, headers, ...dechunked(rest) };
  if (length === undefined)
    return { status, headers, body: rest, isWhole: hasEnded || status === 204 || status === 304 };
  return { status, headers, body: rest.subarray(0, Number(length)), isWhole: rest.length >= Number(length) };
}

function dechunked(bytes: Buffer): Pick<Answer, 'body' | 'isWhole'> {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const line = bytes.indexOf('\r\n', at);
    const size = line < 0 ? NaN : Number.parseInt(bytes.toString('latin1', at, line), 16);
    const end = line + 2 + size;
    if (!(end + 2 <= bytes.length)) return { body: Buffer.concat(pieces), isWhole: false };
    if (size === 0) return { body: Buffer.concat(pieces), isWhole: true };
    pieces.push(bytes.subarray(line + 2, end));
    at = end + 2;
  }
}

/** Whether the bytes are one whole request, as far as HTTP/1.1 goes. Nothing is said of what the body means. */
export function framing(request: Buffer): 'right' | 'broken' {
  const end = request.indexOf(HEAD_END);
  if (end < 0) return 'broken';
  const [first = '', ...lines] = request.toString('latin1', 0, end).split('\r\n');
  if (!/^(GET|POST) \/[\x21-\x7e]* HTTP\/1\.1$/.test(first)) return 'broken';
  if (!lines.every((line) => /^[\w-]+: [\x20-\x7e\x80-\xff]*$/.test(line))) return 'broken';
  const lengths = lines.flatMap((line) => /^content-length: (.*)$/i.exec(line)?.[1] ?? []);
  const isChunked = lines.some((line) => /^transfer-encoding: /i.test(line));
  const body = request.subarray(end + HEAD_END.length);
  if (isChunked) return lengths.length === 0 && isChunkedBody(body) ? 'right' : 'broken';
  return lengths.length === 0 ? (body.length === 0 ? 'right' : 'broken') : isLength(lengths, body) ? 'right' : 'broken';
}

function isLength(lengths: readonly string[], body: Buffer): boolean {
  return lengths.length === 1 && lengths[0] === String(body.length);
}

function isChunkedBody(body: Buffer): boolean {
  return (
    /^[0-9a-f]+\r\n/.test(body.toString('latin1', 0, 20)) &&
    dechunked(body).isWhole &&
    body.subarray(-5).toString() === '0\r\n\r\n'
  );
}
