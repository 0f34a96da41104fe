/** Who asks, through proxies that are trusted and others. */
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../src/config.js';
import { clientAddress, holderOf, plainAddress } from '../../../src/http/client-address.js';

const { trustedProxies } = readConfig({ FULLCONV_TRUSTED_PROXIES: '10.0.0.7,10.1.0.0/16,fd00::/8' });

const from = (remoteAddress: string | undefined, headers: IncomingMessage['headers'] = {}): string =>
  clientAddress({ socket: { remoteAddress }, headers } as unknown as IncomingMessage, trustedProxies);

describe('an address has one form', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['', ''],
  ])('%s', (address, plain) => expect(plainAddress(address)).toBe(plain));
});

describe('limits and shares are those', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::1', '::1'],
    ['2001:db8:0:1::7', '2001:db8:0:1::/64'],
    ['2001:db8:0:1:ffff:1:2:3', '2001:db8:0:1::/64'],
    ['2001:db8::7', '2001:db8:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('of %s: %s', (address, holder) => {
    expect(holderOf(plainAddress(address))).toBe(holder);
  });
});

describe('the client', () => {
  it.each<[string, string | undefined, IncomingMessage['headers'], string]>([
    ['is the connection’s', '192.0.2.1', {}, '192.0.2.1'],
    ['is not what a stranger says', '192.0.2.1', { 'x-forwarded-for': '198.51.100.1' }, '192.0.2.1'],
    ['is what a trusted proxy says', '10.0.0.7', { 'x-forwarded-for': '198.51.100.1' }, '198.51.100.1'],
    ['of a proxy seen as IPv6', '::ffff:10.0.0.7', { 'x-forwarded-for': '198.51.100.1' }, '198.51.100.1'],
    ['of a proxy with IPv6', 'fd12::3', { 'x-forwarded-for': '2001:DB8::A' }, '2001:db8::a'],
    [
      'is the last that is no proxy',
      '10.0.0.7',
      { 'x-forwarded-for': '1.2.3.4, 198.51.100.1,10.1.2.3' },
      '198.51.100.1',
    ],
    ['is the first where all are proxies', '10.0.0.7', { 'x-forwarded-for': '10.1.9.9, 10.1.2.3' }, '10.1.9.9'],
    ['is the proxy that says nothing', '10.0.0.7', {}, '10.0.0.7'],
    ['is the proxy that says nonsense', '10.0.0.7', { 'x-forwarded-for': '1.2.3.4, unknown' }, '10.0.0.7'],
    ['may have a port', '10.0.0.7', { 'x-forwarded-for': '198.51.100.1:5678' }, '198.51.100.1'],
    ['may have brackets', '10.0.0.7', { 'x-forwarded-for': '[2001:db8::1]:5678' }, '2001:db8::1'],
    ['is in Forwarded', '10.0.0.7', { forwarded: 'for=198.51.100.1;proto=https;by=10.0.0.7' }, '198.51.100.1'],
    ['is quoted', '10.0.0.7', { forwarded: 'proto=http ; For="[2001:db8:cafe::17]:4711"' }, '2001:db8:cafe::17'],
    [
      'is the last of Forwarded',
      '10.0.0.7',
      { forwarded: 'for=1.2.3.4, for=198.51.100.1, for=10.1.0.1' },
      '198.51.100.1',
    ],
    ['is not in a text', '10.0.0.7', { forwarded: 'for=198.51.100.1;by="a, for=1.2.3.4"' }, '198.51.100.1'],
    ['is not behind an open quote', '10.0.0.7', { forwarded: 'for="x, for=198.51.100.1' }, '10.0.0.7'],
    ['hides itself', '10.0.0.7', { forwarded: 'for=_hidden' }, '10.0.0.7'],
    [
      'is in both',
      '10.0.0.7',
      { forwarded: 'for="198.51.100.1:80"', 'x-forwarded-for': '198.51.100.1' },
      '198.51.100.1',
    ],
    ['is believed in neither', '10.0.0.7', { forwarded: 'for=1.2.3.4', 'x-forwarded-for': '198.51.100.1' }, '10.0.0.7'],
    ['is unknown', undefined, {}, ''],
  ])('%s', (_, peer, headers, client) => expect(from(peer, headers)).toBe(client));

  it('is found in a header of any length in no time', () => {
    const before = performance.now();
    from('10.0.0.7', { forwarded: 'for="'.repeat(3000) });
    from('10.0.0.7', { forwarded: 'a=b;'.repeat(4000) });
    from('10.0.0.7', { 'x-forwarded-for': `${'10.1.2.3,'.repeat(1700)}1` });
    expect(performance.now() - before).toBeLessThan(200);
  });
});
