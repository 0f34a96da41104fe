/**
 * Who may ask what. A route says in its definition whom it is for (route.ts); everything that is refused for it is refused here,
 * before the model, the query and the body are looked at.
 *
 * Without a keys file all routes but administration are for everybody, and administration is for whoever has the token of the
 * settings. With one, a route is for the keys that have its scope, and the token goes on to work for administration.
 *
 * Sources: RFC 6750 (bearer tokens); RFC 9110, section 11 (challenges).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { onRequestHookHandler } from 'fastify';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import { isOver } from '../keys/calendar.js';
import type { Key, KeyFault, Keyring } from '../keys/keyring.js';
import type { Scope } from '../keys/keys-file.js';
import type { Budget } from '../inference/request-context.js';
import type { Quota } from '../keys/quota.js';
import { clientAddress, holderOf } from './client-address.js';
import type { Metrics } from './metrics.js';
import { rateLimitHeaders } from './rate-limit-headers.js';
import { safeUrl } from './request-notes.js';

/** Whom a route is for. */
export type Audience = Scope | 'everybody';

/** Who asks, as the log and the shares know them. */
export interface Caller {
  /** The name of the key, or `administrator token`. */
  readonly name: string;
  /** The token has none. */
  readonly quota: Quota | undefined;
}

export interface Access {
  /** The hook of a route that is for somebody. */
  enter(audience: Audience): onRequestHookHandler;
  /** Who has sent a request that was let in, or that was refused for what its key may not do. */
  callerOf(request: IncomingMessage): Caller | undefined;
  /** What pays for the request; undefined if nobody counts. */
  budgetFor(request: IncomingMessage): Budget | undefined;
  /** The headers that tell a caller what is left. */
  headersFor(request: IncomingMessage): Readonly<Record<string, string>>;
  /**
   * Let a request in that will be refused for another reason, and count it: true. Or leave everything as it is, where its hook
   * would refuse it, or cannot tell at once: false.
   */
  enterOnSight(request: IncomingMessage, audience: Audience): boolean;
}

export interface AccessOptions {
  readonly config: Pick<Config, 'adminToken' | 'trustedProxies'>;
  /** Undefined if no keys are asked for. */
  readonly keyring: Keyring | undefined;
  readonly metrics: Pick<Metrics, 'observeKeyCost' | 'observeKeyless'>;
}

/** The token of the settings in the place of a key's name. */
const TOKEN: Caller = { name: 'administrator token', quota: undefined };

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

export function createAccess({ config, keyring, metrics }: AccessOptions): Access {
  const callers = new WeakMap<IncomingMessage, Caller>();
  const token = config.adminToken === '' ? undefined : digestOf(config.adminToken);

  const needsKey = (audience: Audience): audience is Scope =>
    audience === 'admin' || (audience !== 'everybody' && keyring !== undefined);
  const isToken = (text: string): boolean => token !== undefined && timingSafeEqual(digestOf(text), token);

  /** Throws, or rejects: UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED. */
  function enter(request: IncomingMessage, audience: Audience): Promise<void> | undefined {
    if (!needsKey(audience)) return undefined;
    if (keyring === undefined && token === undefined) {
      throw refusal(
        'missing',
        'Administration is off: the server was started without FULLCONV_ADMIN_TOKEN and FULLCONV_KEYS.',
      );
    }
    const text = credentialOf(request.headers);
    if (text === undefined) {
      throw refusal('missing', 'A key is needed: "Authorization: Bearer KEY", or "X-API-Key: KEY".');
    }
    if (isToken(text)) {
      letIn(request, audience, { ...TOKEN, scopes: ['admin'] });
      return undefined;
    }
    if (keyring === undefined)
      throw refusal('wrong', 'Administration needs "Authorization: Bearer …" with the right token.');
    const found = keyring.find(text, holderOf(clientAddress(request, config.trustedProxies)));
    if (found instanceof Promise) return found.then((key) => enterWith(request, audience, key));
    enterWith(request, audience, found);
    return undefined;
  }

  function enterWith(request: IncomingMessage, audience: Scope, key: Key | KeyFault): void {
    if (key === 'busy') {
      metrics.observeKeyless('busy');
      throw new ServiceError('RATE_LIMITED', 'Too many keys are being verified.');
    }
    if (typeof key === 'string') throw refusal(key, 'The key is not valid.');
    if (hasExpired(key)) throw refusal('expired', `The key "${key.name}" has expired.`);
    letIn(request, audience, key);
  }

  function letIn(request: IncomingMessage, audience: Scope, caller: Pick<Key, 'name' | 'scopes'> & Caller): void {
    const { name, scopes, quota } = caller;
    callers.set(request, { name, quota });
    if (!scopes.includes(audience)) {
      throw new ServiceError('FORBIDDEN', `"${name}" may not do this: it lacks the scope "${audience}".`);
    }
    quota?.takeRequest();
  }

  function refusal(reason: 'missing' | 'expired' | Exclude<KeyFault, 'busy'>, detail: string): ServiceError {
    metrics.observeKeyless(reason);
    return new ServiceError('UNAUTHENTICATED', detail);
  }

  return {
    enter: (audience) => (request, reply, done) => {
      const refuse = (error: unknown): void => {
        const challenge = challengeFor(error, request.raw.headers, audience);
        if (challenge !== undefined) void reply.header('www-authenticate', challenge);
        if (audience === 'admin' && error instanceof ServiceError) {
          const { method, url } = request;
          const who = { by: callers.get(request.raw)?.name, client: clientAddress(request.raw, config.trustedProxies) };
          request.log.info({ audit: true, action: `${method} ${safeUrl(url)}`, ...who, result: error.code }, 'audit');
        }
        done(error as Error);
      };
      try {
        const entering = enter(request.raw, audience);
        if (entering === undefined) done();
        else entering.then(() => done(), refuse);
      } catch (error) {
        refuse(error);
      }
    },
    callerOf: (request) => callers.get(request),
    budgetFor(request) {
      const { name, quota } = callers.get(request) ?? {};
      if (name === undefined || quota === undefined) return undefined;
      const pay = (how: (multiplyAdds: number) => void) => (multiplyAdds: number) => {
        how(multiplyAdds);
        metrics.observeKeyCost(name, multiplyAdds);
      };
      return { spend: pay((cost) => quota.spend(cost)), owe: pay((cost) => quota.owe(cost)) };
    },
    headersFor(request) {
      const quota = callers.get(request)?.quota;
      return quota === undefined ? {} : rateLimitHeaders(quota.states);
    },
    enterOnSight(request, audience) {
      if (!needsKey(audience)) return true;
      const text = credentialOf(request.headers);
      const key = text === undefined ? undefined : keyring?.recognise(text);
      if (key === undefined || typeof key === 'string') return false;
      if (hasExpired(key) || !key.scopes.includes(audience) || key.quota.refusesRequest() !== undefined) return false;
      letIn(request, audience, key);
      return true;
    },
  };
}

function hasExpired({ expires }: Key): boolean {
  return expires !== undefined && isOver(expires);
}

/** The text that should be a key; undefined if there is none. Two that differ are none that is valid. */
function credentialOf({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]?.trim();
  const plain = typeof apiKey === 'string' ? apiKey : undefined;
  if (bearer !== undefined && plain !== undefined && bearer !== plain) return '';
  return bearer ?? plain;
}

/** What WWW-Authenticate says of a refusal; undefined for refusals that another key does not change. */
function challengeFor(error: unknown, headers: IncomingHttpHeaders, audience: Audience): string | undefined {
  if (!(error instanceof ServiceError)) return undefined;
  if (error.code === 'UNAUTHENTICATED') {
    return credentialOf(headers) === undefined ? 'Bearer' : 'Bearer error="invalid_token"';
  }
  return error.code === 'FORBIDDEN' ? `Bearer error="insufficient_scope", scope="${audience}"` : undefined;
}
