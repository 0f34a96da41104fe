/** Addresses of the internet, and all that only look like ones. */
import { expect, it } from 'vitest';
import { isInternal, isPublic } from '../../../../src/http/from-url/public-addresses.js';

it.each([
  ...['8.8.8.8', '1.1.1.1', '93.184.216.34', '100.63.255.255', '100.128.0.0', '172.15.255.255', '172.32.0.1'],
  ...['11.0.0.0', '126.255.255.255', '128.0.0.1', '169.253.255.255', '192.167.1.1', '223.255.255.255', '198.20.0.1'],
  ...['2606:2800:220:1:248:1893:25c8:1946', '2a00:1450:4001:82b::200e', '2001:4860:4860::8888', '2400:cb00::1'],
])('%s is public', (address) => {
  expect([isPublic(address), isInternal(address)]).toEqual([true, false]);
});

it.each([
  // RFC 6890, in its order.
  ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.127.255.255', '127.0.0.1', '127.1.2.3'],
  ...['169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.0.170', '192.0.2.1', '192.88.99.1'],
  ...['192.168.0.1', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.7', '224.0.0.1', '239.255.255.255'],
  ...['240.0.0.1', '255.255.255.255'],
  ...['::', '::1', 'fe80::1', 'febf::1', 'fec0::1', 'fc00::1', 'fdff::1', 'ff02::1', '100::1', '5f00::1', '4000::1'],
  ...['2001:db8::1', '3fff::1', '3fff:fff::1'],
  // IPv4 within IPv6: mapped, compatible, translated, NAT64 and its local form, 6to4, Teredo, ORCHID.
  ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '::127.0.0.1', '::8.8.8.8', '::ffff:0:127.0.0.1'],
  ...['64:ff9b::7f00:1', '64:ff9b::808:808', '64:ff9b:1::1', '2002:7f00:1::', '2002:c0a8:101::1'],
  ...['2001::1', '2001:0:7f00:1::', '2001:10::1', '2001:20::1', '2001:1::1'],
  // A zone, and what is no address.
  ...['fe80::1%eth0', '2606:2800::1%eth0', '::1%lo', 'localhost', '', '1.2.3', '2130706433', '0x7f000001', '[::1]'],
])('%s is not public', (address) => {
  expect(isPublic(address)).toBe(false);
});

it.each(['10.1.2.3', '100.64.0.1', '127.0.0.1', '172.16.0.1', '192.168.0.1', '::1', 'fd00::1'])(
  '%s is internal',
  (address) => {
    expect(isInternal(address)).toBe(true);
  },
);

it.each(['169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'fe80::1', 'ff02::1', 'fd00::1%eth0'])(
  '%s is not even internal',
  (address) => {
    expect(isInternal(address)).toBe(false);
  },
);

it('IPv4 in IPv6 is not internal, unless all of it is mapped, which Node takes for IPv4', () => {
  for (const address of ['::ffff:169.254.169.254', '64:ff9b::a00:1', '2002:a00:1::', '::10.0.0.1']) {
    expect(isInternal(address), address).toBe(false);
  }
});
