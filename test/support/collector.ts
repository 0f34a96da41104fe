/**
 * A collector of traces: takes what an exporter sends by OTLP over HTTP, and reads its protobuf.
 * Source of the field numbers: opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

export type Value = string | number | boolean | undefined;

export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentId: string;
  readonly traceState: string;
  /** 1: internal, 2: server. */
  readonly kind: number;
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, Value>>;
  /** 0: unset, 2: error. */
  readonly status: number;
  readonly message: string;
  /** Bit 0: sampled. */
  readonly flags: number;
  /** Of whoever sent it. */
  readonly resource: Readonly<Record<string, Value>>;
}

export interface Collector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** Of the requests that came. */
  readonly requests: readonly { readonly path: string | undefined; readonly headers: IncomingMessage['headers'] }[];
  /** The spans of a trace, when its first span has come: that ends last, so the others are there. */
  trace(traceId: string): Promise<readonly CollectedSpan[]>;
  close(): Promise<void>;
}

/** `status`: of every answer. */
export async function startCollector(status = 200): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const requests: { path: string | undefined; headers: IncomingMessage['headers'] }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      requests.push({ path: request.url, headers: request.headers });
      spans.push(...readRequest(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body));
      response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end();
      server.emit('spans');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    async trace(traceId) {
      for (;;) {
        const found = spans.filter((span) => span.traceId === traceId);
        if (found.some(({ kind }) => kind === 2)) return found;
        await once(server, 'spans');
      }
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

type Field = string | number | bigint | Uint8Array;

/** The fields of a message by number, in their order. */
function fieldsOf(bytes: Uint8Array): Map<number, Field[]> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Field[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const value = readField(reader, type);
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

function readField(reader: BinaryReader, type: WireType): Field {
  switch (type) {
    case WireType.Varint:
      return BigInt(reader.int64());
    case WireType.Bit64:
      return reader.fixed64();
    case WireType.Bit32:
      return reader.fixed32();
    case WireType.LengthDelimited:
      return reader.bytes();
    default:
      throw new Error(`no field of traces has the wire type ${type}`);
  }
}

const messages = (fields: Map<number, Field[]>, number: number): Map<number, Field[]>[] =>
  (fields.get(number) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
const text = (fields: Map<number, Field[]>, number: number): string =>
  Buffer.from((fields.get(number)?.[0] ?? []) as Uint8Array).toString();
const hex = (fields: Map<number, Field[]>, number: number): string =>
  Buffer.from((fields.get(number)?.[0] ?? []) as Uint8Array).toString('hex');
const whole = (fields: Map<number, Field[]>, number: number): bigint => (fields.get(number)?.[0] ?? 0n) as bigint;

function attributesOf(fields: Map<number, Field[]>, number: number): Record<string, Value> {
  return Object.fromEntries(
    messages(fields, number).map((pair) => [
      text(pair, 1),
      valueOf(messages(pair, 2)[0] ?? new Map<number, Field[]>()),
    ]),
  );
}

function valueOf(fields: Map<number, Field[]>): Value {
  if (fields.has(1)) return text(fields, 1);
  if (fields.has(2)) return whole(fields, 2) !== 0n;
  if (fields.has(3)) return Number(whole(fields, 3));
  if (!fields.has(4)) return undefined;
  return new Float64Array(BigUint64Array.of(whole(fields, 4)).buffer)[0];
}

function readRequest(bytes: Uint8Array): CollectedSpan[] {
  return messages(fieldsOf(bytes), 1).flatMap((ofResource) => {
    const resource = attributesOf(messages(ofResource, 1)[0]!, 1);
    return messages(ofResource, 2).flatMap((scope) =>
      messages(scope, 2).map((span) => {
        const status = messages(span, 15)[0] ?? new Map<number, Field[]>();
        return {
          name: text(span, 5),
          traceId: hex(span, 1),
          spanId: hex(span, 2),
          parentId: hex(span, 4),
          traceState: text(span, 3),
          kind: Number(whole(span, 6)),
          start: whole(span, 7),
          end: whole(span, 8),
          attributes: attributesOf(span, 9),
          status: Number(whole(status, 3)),
          message: text(status, 2),
          flags: (span.get(16)?.[0] ?? 0) as number,
          resource,
        };
      }),
    );
  });
}
