/**
 * Which addresses belong to the internet. Of IPv6 only 2000::/3 is used there, so that all else is refused unseen: loopback, ::/96 and
 * ::ffff:0:0/96 (IPv4 in IPv6), 64:ff9b::/32 (NAT64), fc00::/7, fe80::/10, ff00::/8. Of the rest, 6to4 and Teredo have
 * an IPv4 address within them, and go with it. An address with a zone belongs to one machine's link. Pure.
 *
 * Source: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), multicast and reserved addresses among them.
 */
import { BlockList, isIP } from 'node:net';

const SPECIAL_IPV4 = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16'],
  ...['192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
];
const GLOBAL_IPV6 = ['2000::/3'];
/** 2001::/23 has Teredo, ORCHID and others; 2002::/16 is 6to4; the others are for documents. */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** What a private host may have besides: its own machine, and networks like ours. Never what a cloud tells its machines about (169.254.0.0/16). */
const INTERNAL_IPV4 = ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
const INTERNAL_IPV6 = ['::1/128', 'fc00::/7'];

const [specialIpv4, internalIpv4] = [SPECIAL_IPV4, INTERNAL_IPV4].map((list) => blocksOf(list, 'ipv4')) as [
  BlockList,
  BlockList,
];
const [globalIpv6, specialIpv6, internalIpv6] = [GLOBAL_IPV6, SPECIAL_IPV6, INTERNAL_IPV6].map((list) =>
  blocksOf(list, 'ipv6'),
) as [BlockList, BlockList, BlockList];

/** Whether an address, in any form without brackets, is one of the internet. */
export function isPublic(address: string): boolean {
  switch (familyOf(address)) {
    case 4:
      return !specialIpv4.check(address, 'ipv4');
    case 6:
      return globalIpv6.check(address, 'ipv6') && !specialIpv6.check(address, 'ipv6');
    default:
      return false;
  }
}

/** Whether it is one of an internal network or of this machine. */
export function isInternal(address: string): boolean {
  switch (familyOf(address)) {
    case 4:
      return internalIpv4.check(address, 'ipv4');
    case 6:
      return internalIpv6.check(address, 'ipv6');
    default:
      return false;
  }
}

function familyOf(address: string): number {
  return address.includes('%') ? 0 : isIP(address);
}

function blocksOf(subnets: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const blocks = new BlockList();
  for (const subnet of subnets) {
    const [network = '', prefix] = subnet.split('/');
    blocks.addSubnet(network, Number(prefix), family);
  }
  return blocks;
}
