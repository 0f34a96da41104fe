/** Which addresses images may be fetched from: those whose host is in the settings, with its scheme and port. Pure. */
import { ServiceError } from '../../errors.js';
import type { Config, UrlHost } from '../../config.js';

/** What a host's address may be: one of the internet, or one of this network, too. */
export type Reach = 'public' | 'private';

/** An address whose host is allowed. */
export interface Source {
  readonly url: URL;
  readonly reach: Reach;
}

export type HostSettings = Pick<Config, 'urlHosts' | 'urlPrivateHosts'>;

/** Longer ones are no addresses of images, and would fill the log. */
const MAX_URL = 8192;

/** Whether images may be fetched at all. */
export function mayFetch({ urlHosts, urlPrivateHosts }: HostSettings): boolean {
  return urlHosts.length + urlPrivateHosts.length > 0;
}

/** The source that a client names. Throws INVALID_REQUEST. */
export function sourceOf(text: string, settings: HostSettings): Source {
  if (text.length > MAX_URL) throw wrongUrl(`must have at most ${MAX_URL} characters`);
  if (!URL.canParse(text)) throw wrongUrl('must be a whole address, e.g. https://images.example.com/cat.jpg');
  const source = findSource(new URL(text), settings);
  if (typeof source === 'string') throw wrongUrl(source);
  return source;
}

/**
 * Where a source redirects to; undefined if nothing is fetched from there. Nor is it if the way there is less safe, or leads
 * from the internet into this network, though a client may name that itself.
 */
export function redirectTarget(
  { url, reach }: Source,
  location: string | undefined,
  settings: HostSettings,
): Source | undefined {
  if (location === undefined || !URL.canParse(location, url.href)) return undefined;
  const target = findSource(new URL(location, url.href), settings);
  if (typeof target === 'string') return undefined;
  const isSafe = target.url.protocol === 'https:' || url.protocol === 'http:';
  return isSafe && (target.reach === 'public' || reach === 'private') ? target : undefined;
}

/** A URL as a source, or why it is none: what it must be. */
function findSource(url: URL, { urlHosts, urlPrivateHosts }: HostSettings): Source | string {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'must begin with https:// or http://';
  if (url.username !== '' || url.password !== '') return 'must have no user and no password';
  if (urlPrivateHosts.some((host) => isOf(url, host))) return { url, reach: 'private' };
  if (urlHosts.some((host) => isOf(url, host))) return { url, reach: 'public' };
  return 'must be of a host that this server fetches images from, with its scheme and port (FULLCONV_URL_HOSTS)';
}

export function wrongUrl(detail: string, cause?: unknown): ServiceError {
  return new ServiceError('INVALID_REQUEST', 'No image is fetched from this URL.', {
    cause,
    errors: [{ parameter: 'url', detail }],
  });
}

function isOf({ protocol, hostname, port }: URL, host: UrlHost): boolean {
  const isNamed = host.hasSubdomains ? hostname.endsWith(`.${host.name}`) : hostname === host.name;
  // A URL has no port where it is its scheme's own.
  const standard = protocol === 'https:' ? '443' : '80';
  return (
    isNamed &&
    (host.scheme === undefined || `${host.scheme}:` === protocol) &&
    (port === '' ? standard : port) === (host.port ?? standard)
  );
}
