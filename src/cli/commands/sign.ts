/** `fullconv sign`: an address of GET /v1/…?url= with a signature, for pages and others who have no key. */
import { UsageError } from '../../errors.js';
import { secondsNow, signedQuery } from '../../signed-address.js';

export interface SignFlags {
  /** Seconds. */
  readonly expiresIn: number;
}

/** The routes that fetch images, wherever a proxy has them. */
const SIGNED_PATH = /\/v1\/(?:classify|heatmap|segment)$/;
/** For addresses that begin with their path. */
const NOWHERE = 'http://localhost';

export function signCommand(address: string, { expiresIn }: SignFlags, [key]: readonly string[]): void {
  if (key === undefined) {
    throw new UsageError(
      'FULLCONV_URL_KEYS is empty: it must have the key that the server has, and its first one signs',
    );
  }
  process.stdout.write(`${signAddress(address, key, secondsNow() + expiresIn)}\n`);
}

/** The address until `expires`, in seconds since 1970, as browsers send it. Throws UsageError. */
export function signAddress(address: string, key: string, expires: number): string {
  const isPath = address.startsWith('/');
  const whole = isPath ? NOWHERE + address : address;
  if (!URL.canParse(whole)) throw new UsageError(`"${address}" is no address`);
  const url = new URL(whole);
  const [path] = SIGNED_PATH.exec(url.pathname) ?? [];
  if (path === undefined)
    throw new UsageError('only addresses of /v1/classify, /v1/heatmap and /v1/segment are signed');
  if (!url.searchParams.has('url')) throw new UsageError('the address has no image: …?url=https%3A%2F%2F…');
  const twice = ['expires', 'signature'].find((name) => url.searchParams.has(name));
  if (twice !== undefined) throw new UsageError(`the address has a parameter ${twice} already`);
  const query = signedQuery(path, url.search.slice(1), key, expires);
  return `${isPath ? '' : url.origin}${url.pathname}?${query}`;
}
