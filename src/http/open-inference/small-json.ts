/** Bodies of administration: a few words of JSON, or nothing, whatever their type says. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ServiceError } from '../../errors.js';
import { clientAddress, holderOf } from '../client-address.js';
import { withBody } from '../image-bodies.js';
import type { RouteParts } from '../parts.js';

const MAX_BYTES = 2 ** 16;

const anyObject = z.record(z.string(), z.unknown());

/** The fields of an object; none for an empty body. Throws INVALID_REQUEST for what is no object or has other fields. */
export function readSmallJson(
  { bodies, metrics, config }: Pick<RouteParts, 'bodies' | 'metrics' | 'config'>,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  known: readonly string[],
): Promise<Readonly<Record<string, unknown>>> {
  const client = holderOf(clientAddress(request.raw, config.trustedProxies));
  const limits = { ...config, maxBytes: Math.min(MAX_BYTES, config.maxBytes) };
  return withBody({ request, reply }, { bodies, metrics, limits, client, deadline: Infinity }, (body) => {
    if (body.length === 0) return {};
    const { data } = anyObject.safeParse(parse(body));
    const unknown = Object.keys(data ?? {}).find((key) => !known.includes(key));
    if (data === undefined || unknown !== undefined) {
      throw new ServiceError(
        'INVALID_REQUEST',
        `The body must be a JSON object with nothing but ${known.join(', ')}, or empty.`,
      );
    }
    return data;
  });
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}
