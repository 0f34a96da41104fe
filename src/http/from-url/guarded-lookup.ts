/**
 * Names as addresses, for a connection that is just being made: what is checked here is what is connected to, so that a name that
 * leads elsewhere a moment later gains nothing (DNS rebinding). One address that is not allowed is enough to refuse the
 * name: who gives one out is not to be trusted with the others.
 */
import { lookup as lookUp, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import pLimit from 'p-limit';
import type { Reach, Source } from './allowed-hosts.js';
import { isInternal, isPublic } from './public-addresses.js';

/** All addresses of a name, unless nobody waits for them any more; in tests, another one. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly LookupAddress[]>;

/** An address that nothing is fetched from. Its message is for the log: it may name an internal address. */
export class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError';
}

/** A lookup takes one of the four threads that write the log and inflate bodies, too, for as long as a name server is silent. */
const LOOKUPS_AT_ONCE = 2;
const inTurn = pLimit(LOOKUPS_AT_ONCE);

/** As the system does it, by its files and name servers. */
export const resolveBySystem: Resolve = (name, signal) =>
  inTurn(
    () =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        lookUp(name, { all: true }, (error, addresses) => (error === null ? resolve(addresses) : reject(error)));
      }),
  );

/**
 * Throws RefusedAddressError for a source that is an address itself, and no allowed one: nobody looks it up. URLs have brought all forms
 * of IPv4 into one, 0x7f.1 and 2130706433 among them.
 */
export function checkLiteral({ url: { hostname }, reach }: Source): void {
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  // A private host is in the settings, to the letter.
  if (reach === 'private' || isIP(address) === 0 || isPublic(address)) return;
  throw new RefusedAddressError(`${address} is no address of the internet`);
}

/** A lookup that gives no addresses but those that a source of this reach may have. */
export function guardedLookup(reach: Reach, resolve: Resolve, signal: AbortSignal): LookupFunction {
  const isAllowed = (address: string): boolean => isPublic(address) || (reach === 'private' && isInternal(address));
  return (name, { all }, done) => {
    resolve(name, signal).then(
      (addresses) => {
        const refused = addresses.find(({ address }) => !isAllowed(address));
        const [first] = addresses;
        if (refused !== undefined || first === undefined) {
          done(new RefusedAddressError(`${name} is ${refused?.address ?? 'nowhere'}`), '', 0);
        } else if (all === true) done(null, [...addresses]);
        else done(null, first.address, first.family);
      },
      (error: unknown) => done(error as NodeJS.ErrnoException, '', 0),
    );
  };
}
