/**
 * Two servers that together behave as the Hugging Face hub does: one answers `/OWNER/NAME/resolve/REVISION/FILE` with a
 * redirect and the file's digest, size and commit, the other has the content, whole and in ranges. `faults` says what
 * they do wrong; tests change it as they go.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

export interface Faults {
  /** Statuses of the next answers of the hub, in this order; then it answers as it should. */
  statuses: number[];
  /** Cut the connection of each of the next answers after so many bytes of content; later answers are not cut. */
  cuts: number[];
  /**
   * Resolves when so much of the file has arrived. It is awaited before a cut, which would lose the bytes on their way.
   */
  arrived?: (bytes: number) => Promise<void>;
  /** Fall silent after so many bytes, without closing the connection. */
  stallAfter?: number;
  /** Wait after each 64 KiB. */
  slowMs?: number;
  /** Ignore Range. */
  noRanges?: boolean;
  /** Send no Content-Length. */
  chunked?: boolean;
  /** Answer with the content alone, without a redirect and the file's digest and size. */
  plain?: boolean;
  sha256?: string;
  size?: number;
  etag?: string;
  /** Redirect here instead of to the content. */
  location?: string;
}

export interface Seen {
  readonly server: 'hub' | 'content';
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface Hub {
  readonly url: string;
  readonly requests: Seen[];
  /** The Range of each request for content. */
  ranges(): (string | undefined)[];
  /** Bytes of content that were sent. */
  sent: number;
  faults: Faults;
  /** Files by their path on the hub. */
  readonly files: Map<string, Buffer>;
  close(): Promise<void>;
}

const CHUNK = 64 * 1024;

export async function startHub(files: Record<string, Buffer> = {}): Promise<Hub> {
  const hub: Omit<Hub, 'url' | 'close'> = {
    requests: [],
    ranges: () => hub.requests.filter(({ server }) => server === 'content').map(({ headers }) => headers.range),
    sent: 0,
    faults: { statuses: [], cuts: [] },
    files: new Map(Object.entries(files)),
  };
  const see = (server: Seen['server'], { url = '', headers }: IncomingMessage): string => {
    hub.requests.push({ server, url, headers });
    return url;
  };

  const content = createServer((request, response) => {
    void sendContent(hub, hub.files.get(see('content', request)), request, response);
  });
  const contentUrl = await listen(content);

  const front = createServer((request, response) => {
    const path = see('hub', request);
    const bytes = hub.files.get(path);
    const { statuses, plain, sha256, size, location } = hub.faults;
    const status = statuses.shift() ?? (bytes === undefined ? 404 : 302);
    if (bytes === undefined || status !== 302) return response.writeHead(status).end('no');
    if (plain) return void sendContent(hub, bytes, request, response);
    const headers = {
      location: location ?? `${contentUrl}${path}`,
      'x-linked-etag': `"${sha256 ?? digestOf(bytes)}"`,
      'x-linked-size': String(size ?? bytes.length),
      'x-repo-commit': COMMIT,
    };
    return response.writeHead(302, headers).end('Found');
  });
  const url = await listen(front);

  return Object.assign(hub, {
    url,
    close: async () => {
      for (const server of [front, content]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  });
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function sendContent(
  hub: Omit<Hub, 'url' | 'close'>,
  bytes: Buffer | undefined,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { noRanges, chunked, plain, stallAfter, slowMs, cuts } = hub.faults;
  if (bytes === undefined) return void response.writeHead(404).end();
  const etag = hub.faults.etag ?? `"content-${digestOf(bytes).slice(0, 8)}"`;
  const asked = /^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1];
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag;
  const first = asked !== undefined && isSame && !noRanges ? Number(asked) : 0;
  if (first >= bytes.length) {
    return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
  }
  response.writeHead(first > 0 ? 206 : 200, {
    ...(chunked ? {} : { 'content-length': bytes.length - first }),
    ...(plain && noRanges ? {} : { etag }),
    ...(first > 0 ? { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  const end = Math.min(bytes.length, first + (cuts.shift() ?? stallAfter ?? bytes.length));
  for (let at = first; at < end && !response.destroyed; at += CHUNK) {
    const chunk = bytes.subarray(at, Math.min(at + CHUNK, end));
    await new Promise((done) => response.write(chunk, done));
    hub.sent += chunk.length;
    if (slowMs !== undefined) await sleep(slowMs);
  }
  if (end === bytes.length) response.end();
  else if (stallAfter === undefined) {
    await hub.faults.arrived?.(end);
    response.destroy();
  }
}
