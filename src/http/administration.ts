/** Who may administer: a client that sends the token of the settings. If no token is set, nobody may. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';

/** Throws UNAUTHENTICATED unless the request carries the administrator's token. */
export function authorize(request: FastifyRequest, { adminToken }: Pick<Config, 'adminToken'>): void {
  if (adminToken === '') {
    throw new ServiceError(
      'UNAUTHENTICATED',
      'Administration is off: the server was started without FULLCONV_ADMIN_TOKEN.',
    );
  }
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${adminToken}`))) {
    throw new ServiceError('UNAUTHENTICATED', 'Administration needs "Authorization: Bearer …" with the right token.');
  }
}
