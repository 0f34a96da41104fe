/**
 * Errors as the Open Inference Protocol has them: `{"error": "…"}`, with the statuses that its clients know. What is wrong with an
 * image or with what is asked of it is an invalid argument there.
 */
import type { FastifyRequest } from 'fastify';
import type { ServiceError } from '../../errors.js';
import { splitTarget } from '../request-target.js';

/** Whether a request is one of the protocol, known or not. */
export function isOpenInference({ url }: Pick<FastifyRequest, 'url'>): boolean {
  const { path } = splitTarget(url);
  return path === '/v2' || path.startsWith('/v2/');
}

/** Of an image, or of what is asked of it. */
const INVALID_ARGUMENTS: readonly ServiceError['code'][] = [
  'UNSUPPORTED_MEDIA_TYPE',
  'IMAGE_UNDECODABLE',
  'IMAGE_TOO_LARGE',
  'OUTPUT_UNSUPPORTED',
  'CLASS_NOT_FOUND',
];

export function openInferenceStatus({ code, status }: ServiceError): number {
  return INVALID_ARGUMENTS.includes(code) ? 400 : status;
}

export function openInferenceError({ message, errors }: ServiceError): { readonly error: string } {
  const details = errors.map(({ parameter, detail }) => ` ${parameter}: ${detail}.`);
  return { error: message + details.join('') };
}
