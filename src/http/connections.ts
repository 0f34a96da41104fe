/**
 * The connections of the server: how many there may be, altogether and for one address; that each gets its answers, and
 * takes them; and how each ends. Whatever a client does or leaves undone, its connection ends within a bounded time.
 *
 * A client that ends its direction (a half-closed connection) gets the answers to what it has asked. It looks the same as a
 * client that has left, until something is sent to it: so each second it is sent `100 Continue`, which one that is there
 * must ignore, and one that has left answers with a reset.
 *
 * Where TLS is spoken, a connection counts from the moment that it is accepted, before its handshake. What is said here of
 * sockets is said of TLS' own then, which come with the handshake's end. Whoever does not speak TLS gets no answer.
 *
 * Sources: RFC 9110, section 15.2 (interim answers); RFC 9112, section 9 (connections).
 */
import { randomUUID } from 'node:crypto';
import type { Server, ServerResponse, IncomingMessage } from 'node:http';
import { maxHeaderSize, STATUS_CODES } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { ServiceError } from '../errors.js';
import { holderOf, isIn, plainAddress } from './client-address.js';
import { createLingeringClose } from './lingering-close.js';
import { createPace, type Pace } from './pace.js';
import { PROBLEM_MEDIA_TYPE, problemOf } from './problem.js';
import { failBody } from './receive-body.js';
import type { Refusal } from './refusals.js';

export interface ConnectionOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** Addresses whose connections are those of many clients. */
  readonly proxies: BlockList;
  /** Bytes a second that a client must take of an answer; 0 for any. */
  readonly minRate: number;
  /** Of a request. A few times as many are discarded behind a refusal. */
  readonly maxBytes: number;
  /** Whether a connection may come where no other may any more: there are few of these. */
  readonly isReserved?: (socket: Socket) => boolean;
  readonly onRefused: (refusal: Refusal) => void;
}

export interface Connections {
  /** Connections that are open, those in a handshake among them. */
  readonly count: number;
  /** Answer what Node's parser refuses. */
  handleClientError(error: Error & { readonly code?: string }, socket: Socket): void;
  /** Whether nothing more can come from a connection than what it is being answered. */
  isBroken(socket: Socket): boolean;
  /** How many requests of a connection have no answer yet. */
  waiting(socket: Socket): number;
  /** Throws QUEUE_FULL if too many requests of the connection wait for their answers. */
  checkPipeline(socket: Socket): void;
  /** Hang up on the clients that have taken nothing of their answers for a while. */
  giveUpStalled(): void;
  /** Wait for the answers that are on their way now. */
  answered(): Promise<void>;
  /** Wait for the answers to requests that are on their way, and close every connection. */
  drain(): Promise<void>;
}

/** Longest time for the headers of a request, and until a new connection has sent some. */
export const HEADERS_TIMEOUT_MS = 20_000;
/** Longest time for the handshake of TLS. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often time limits are looked at. */
export const CHECK_MS = 1000;
/**
 * The window in which a client must have taken something of its answer. It is longer than that of bodies: what the system
 * holds of an answer cannot be seen, and a slow client may need half a minute for it.
 */
const SENDING_WINDOW_MS = 30_000;
/** When memory is short, a client is given up that has taken nothing in this time. */
const STALLED_MS = 2000;
/** Requests on one connection that wait for their answers. Browsers and proxies send no second one before the first. */
const MAX_PIPELINED = 16;
/** Of Node's parser. */
const MAX_CHUNK_EXTENSION_BYTES = 16_384;
const LINGER_BODIES = 4;
/** Connections that may be told at the same time that there are too many. */
const REFUSED_CONNECTIONS = 512;
/** Connections for administration beyond all others. */
const RESERVED_CONNECTIONS = 32;
/** How often a client that has ended its direction is asked whether it is still there. */
const GONE_CHECK_MS = 1000;
/** After the first question comes a second one, which fails if the client has left. */
const GONE_SECOND_MS = 250;
/** The last connections are closed when no request has come in for this time, or when some have for the longer one. */
const LAST_CALL_MS = 200;
const MAX_LAST_CALL_MS = 3000;
/** How long the first request of a new connection may be on its way when the server closes. */
const FIRST_REQUEST_MS = 1000;

interface Connection {
  readonly acceptedAt: number;
  readonly answers: Set<ServerResponse>;
  /** The request that began last. */
  request: IncomingMessage | undefined;
  isBroken: boolean;
  /** Of the bytes that its client has taken; undefined if none wait. */
  pace: Pace | undefined;
  taken: number;
  /** When it last took some. */
  movedAt: number;
}

/** Watch over the connections of a server. */
export function watchConnections(server: Server, options: ConnectionOptions): Connections {
  const { maxConnections, maxConnectionsPerAddress, proxies, minRate, onRefused } = options;
  const isTls = server instanceof TlsServer;
  /** As they were accepted. */
  const accepted = new Set<Socket>();
  const connections = new Map<Socket, Connection>();
  const perAddress = new Map<string, number>();
  const closes = createLingeringClose(LINGER_BODIES * options.maxBytes);
  /** When the last request began. */
  let requestedAt = 0;

  // Those to be refused are answered, too: Node drops what comes beyond them.
  server.maxConnections = maxConnections + REFUSED_CONNECTIONS;
  server.on('drop', () => onRefused('connections'));
  // An old property of Node's servers that its documentation and types leave out.
  Object.assign(server, { httpAllowHalfOpen: true });

  server.on('connection', (socket: Socket) => {
    const error = count(socket);
    if (!isTls) begin(socket, error);
    else if (error !== undefined) socket.destroy();
  });
  server.on('secureConnection', (socket: Socket) => {
    // Only now: a connection that ends within its handshake would wait for the handshake's time.
    socket.allowHalfOpen = true;
    begin(socket);
  });

  /** Count a connection until it closes. Returns why it is refused. */
  function count(socket: Socket): ServiceError | undefined {
    accepted.add(socket);
    const address = plainAddress(socket.remoteAddress);
    const holder = holderOf(address);
    const ofAddress = (perAddress.get(holder) ?? 0) + 1;
    perAddress.set(holder, ofAddress);
    socket.once('close', () => {
      accepted.delete(socket);
      const left = perAddress.get(holder)! - 1;
      if (left === 0) perAddress.delete(holder);
      else perAddress.set(holder, left);
    });
    if (accepted.size > maxConnections + (options.isReserved?.(socket) === true ? RESERVED_CONNECTIONS : 0)) {
      onRefused('connections');
      const limit = { name: 'connections', value: maxConnections, needed: accepted.size } as const;
      return new ServiceError('QUEUE_FULL', 'The server has as many connections as it may.', { limit });
    }
    if (ofAddress > maxConnectionsPerAddress && !isIn(proxies, address)) {
      onRefused('connections_per_address');
      const detail = `There are more than ${maxConnectionsPerAddress} connections from this address.`;
      const limit = { name: 'connections_per_address', value: maxConnectionsPerAddress, needed: ofAddress } as const;
      return new ServiceError('RATE_LIMITED', detail, { limit });
    }
    return undefined;
  }

  /** Watch a connection on which HTTP is spoken; with an error, answer that and close it. */
  function begin(socket: Socket, error?: ServiceError): void {
    closes.adopt(socket);
    connections.set(socket, {
      acceptedAt: performance.now(),
      answers: new Set(),
      request: undefined,
      isBroken: false,
      pace: undefined,
      taken: 0,
      movedAt: 0,
    });
    socket.once('close', () => {
      for (const answer of connections.get(socket)!.answers) closeUnsent(answer);
      connections.delete(socket);
    });
    if (error === undefined) socket.once('end', () => checkGone(socket));
    else refuse(socket, error);
  }

  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    requestedAt = performance.now();
    const connection = connections.get(request.socket);
    if (connection === undefined) return;
    connection.request = request;
    connection.answers.add(response);
    response.once('close', () => connection.answers.delete(response));
  });
  // Whoever reads the body sends 100 Continue: receive-body.ts. Other expectations are not known, and ignored.
  for (const event of ['checkContinue', 'checkExpectation'] as const) {
    server.on(event, (request: IncomingMessage, response: ServerResponse) => server.emit('request', request, response));
  }

  /** Ask a half-closed connection whether it is one, until its answer begins. */
  function checkGone(socket: Socket, afterMs = GONE_CHECK_MS, nextMs = GONE_SECOND_MS): void {
    setTimeout(() => {
      const [first] = connections.get(socket)?.answers ?? [];
      if (first === undefined || first.headersSent || first.req.httpVersion !== '1.1') return;
      first.writeContinue();
      checkGone(socket, nextMs, GONE_CHECK_MS);
    }, afterMs).unref();
  }

  const timer = setInterval(() => {
    const now = performance.now();
    for (const [socket, connection] of connections) {
      if (isTooSlow(socket, connection, now)) {
        onRefused('answer_rate');
        socket.destroy();
      }
    }
  }, CHECK_MS).unref();
  server.once('close', () => clearInterval(timer));

  function isTooSlow(socket: Socket, connection: Connection, now: number): boolean {
    if (socket.writableLength === 0) {
      connection.pace = undefined;
      return false;
    }
    const taken = socket.bytesWritten - socket.writableLength;
    if (connection.pace === undefined || taken !== connection.taken) connection.movedAt = now;
    connection.taken = taken;
    connection.pace ??= createPace(minRate, SENDING_WINDOW_MS);
    return connection.pace.isTooSlow(taken, now);
  }

  /** Answer by hand, and close. */
  function refuse(socket: Socket, error: ServiceError): void {
    socket.write(answerByHand(error));
    closes.close(socket);
  }

  /** Close behind the answers that are on their way. */
  async function closeBehindAnswers(socket: Socket, answers: ReadonlySet<ServerResponse>): Promise<void> {
    await allClosed(answers);
    closes.close(socket);
  }

  function answered(): Promise<void> {
    return allClosed([...connections.values()].flatMap(({ answers }) => [...answers]));
  }

  /** Whether its first request may still be on its way. */
  function isNew(socket: Socket): boolean {
    return socket.bytesRead === 0 && performance.now() - connections.get(socket)!.acceptedAt < FIRST_REQUEST_MS;
  }

  return {
    get count() {
      return accepted.size;
    },
    handleClientError(error, socket) {
      if (closes.has(socket)) return;
      // One that has left before its handshake, as those do that look whether somebody listens, was not refused.
      if (isTls && !connections.has(socket) && error.code !== 'ECONNRESET') onRefused('tls_handshake');
      if (!socket.writable || error.code === 'ECONNRESET' || error.code === 'EPIPE') {
        socket.destroy();
        return;
      }
      const connection = connections.get(socket);
      if (connection === undefined || socket.bytesRead === 0) {
        socket.destroy();
        return;
      }
      const { answers, request } = connection;
      const [refusal, failure] = refusalOf(
        error,
        answers.size > 0
          ? { name: 'request_time', value: server.requestTimeout }
          : { name: 'headers_time', value: server.headersTimeout },
      );
      connection.isBroken = true;
      onRefused(refusal);
      if (answers.size > 0) {
        failBody(socket, failure);
        void closeBehindAnswers(socket, answers);
      } else if (request?.complete === false) {
        // It has been answered already.
        closes.close(socket);
      } else {
        refuse(socket, failure);
      }
    },
    isBroken: (socket) => connections.get(socket)?.isBroken ?? false,
    waiting: (socket) => connections.get(socket)?.answers.size ?? 0,
    checkPipeline(socket) {
      const waiting = connections.get(socket)?.answers.size ?? 0;
      if (waiting <= MAX_PIPELINED) return;
      onRefused('pipelined');
      const detail = `More than ${MAX_PIPELINED} requests of this connection wait for their answers.`;
      const limit = { name: 'pipelined', value: MAX_PIPELINED, needed: waiting } as const;
      throw new ServiceError('QUEUE_FULL', detail, { limit });
    },
    giveUpStalled() {
      const now = performance.now();
      for (const [socket, { pace, movedAt }] of connections) {
        if (pace === undefined || now - movedAt < STALLED_MS) continue;
        onRefused('answers_bytes');
        socket.destroy();
      }
    },
    answered,
    async drain() {
      let closeAt = Infinity;
      do {
        await answered();
        closeAt = Math.min(closeAt, performance.now() + MAX_LAST_CALL_MS);
        // At least one turn of the event loop, in which new connections are accepted.
        await new Promise((resolve) => setTimeout(resolve, connections.size > 0 ? LAST_CALL_MS / 4 : 0));
      } while (
        performance.now() < closeAt &&
        ([...connections].some(([socket, { answers }]) => answers.size > 0 || isNew(socket)) ||
          (connections.size > 0 && performance.now() - requestedAt < LAST_CALL_MS))
      );
      for (const [socket] of connections) if (socket.bytesRead > 0) closes.close(socket);
      await closes.settled();
      // Those in a handshake have asked nothing.
      if (isTls) for (const socket of accepted) socket.destroy();
    },
  };
}

/** An answer behind others on a connection that is gone: Node forgets it, and whoever waits for its end would wait for ever. */
function closeUnsent(answer: ServerResponse): void {
  answer.destroy();
  answer.emit('close');
}

async function allClosed(answers: Iterable<ServerResponse>): Promise<void> {
  await Promise.all([...answers].map((answer) => new Promise((resolve) => answer.once('close', resolve))));
}

/** What an error of Node's parser means, to the metrics and to the client. `time`: the limit that holds where a request stands. */
function refusalOf(
  { code }: { readonly code?: string },
  time: { readonly name: 'headers_time' | 'request_time'; readonly value: number },
): [Refusal, ServiceError] {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [time.name, new ServiceError('REQUEST_TIMEOUT', 'The request did not arrive in time.', { limit: time })];
    case 'HPE_HEADER_OVERFLOW': {
      const limit = { name: 'headers_bytes', value: maxHeaderSize } as const;
      const detail = 'The address and headers are too large.';
      return ['headers_bytes', new ServiceError('HEADERS_TOO_LARGE', detail, { limit })];
    }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW': {
      const limit = { name: 'chunk_extension_bytes', value: MAX_CHUNK_EXTENSION_BYTES } as const;
      const detail = 'The extensions of a chunk are too large.';
      return ['malformed', new ServiceError('BODY_TOO_LARGE', detail, { limit })];
    }
    case 'HPE_INVALID_EOF_STATE':
      return ['malformed', new ServiceError('INVALID_REQUEST', 'The request ends before it is complete.')];
    default:
      return ['malformed', new ServiceError('INVALID_REQUEST', 'The request is not valid HTTP.')];
  }
}

function answerByHand(error: ServiceError): string {
  const id = randomUUID();
  const body = JSON.stringify(problemOf(error, id));
  const retry = error.retryAfterS === undefined ? [] : [`Retry-After: ${error.retryAfterS}`];
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}`,
    'Connection: close',
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${id}`,
    ...retry,
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}
