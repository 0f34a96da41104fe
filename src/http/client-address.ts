/**
 * Who asks: the address of the connection, or the one that trusted proxies say their connection is for. The log, the shares
 * of the workers and of the memory, and the limits all take the same.
 *
 * `X-Forwarded-For` and `Forwarded` are read from their ends, where the nearest proxy writes, for as long as who wrote is
 * trusted. What stands before is the client's own and may be anything. A proxy that writes one of them passes on what a client
 * wrote into the other: so where both are there and do not agree, neither is believed.
 *
 * Source: RFC 7239 (Forwarded).
 */
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6, type BlockList, type Socket } from 'node:net';

const known = new WeakMap<IncomingMessage, string>();

/** Who is at the other end of a connection. */
interface Peer {
  readonly address: string;
  readonly isProxy: boolean;
}
const peers = new WeakMap<Socket, Peer>();

/** The address of a request's client in one form; empty if there is no connection any more. */
export function clientAddress(request: IncomingMessage, proxies: BlockList): string {
  const address = known.get(request) ?? findClient(request, proxies);
  known.set(request, address);
  return address;
}

/** An address in one form, whatever it is written like: IPv6 short and in lower case, IPv4 never as IPv6. */
export function plainAddress(address = ''): string {
  if (!isIPv6(address)) return address;
  const [, dotted] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (dotted !== undefined) return dotted;
  const url = `http://[${address}]/`;
  // One with a zone, which is in no URL.
  if (!URL.canParse(url)) return address.toLowerCase();
  const short = new URL(url).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(short) ?? [];
  if (high === undefined || low === undefined) return short;
  return [high, low].flatMap((part) => [parseInt(part, 16) >> 8, parseInt(part, 16) & 255]).join('.');
}

/**
 * Whose limits and shares an address in its plain form has: an IPv4 address its own, IPv6 addresses those of their /64 network,
 * `2001:db8:0:1::/64`. A subscriber has all addresses of one, and would otherwise be as many clients as it likes.
 */
export function holderOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [before = '', after] = address.replace(/%.*$/, '').split('::');
  const [head, tail] = [before, after ?? ''].map((part) => (part === '' ? [] : part.split(':'))) as [
    string[],
    string[],
  ];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const network = [...head, ...(after === undefined ? [] : zeros), ...tail].slice(0, 4).join(':');
  return network === '0:0:0:0' ? address : `${network}::/64`;
}

/** Whether an address in its plain form is in a list. */
export function isIn(list: BlockList, address: string): boolean {
  const plain = address.replace(/%.*$/, '');
  return isIP(plain) !== 0 && list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

function findClient({ headers, socket }: IncomingMessage, proxies: BlockList): string {
  const { address: peer, isProxy } = peerOf(socket, proxies);
  if (!isProxy) return peer;
  const { forwarded, 'x-forwarded-for': forwardedFor } = headers;
  const said = [
    ...(forwardedFor === undefined ? [] : [[forwardedFor].flat().join(',').split(',')]),
    ...(forwarded === undefined ? [] : [nodesOf(forwarded)]),
  ].map((nodes) => lastUntrusted(nodes, peer, proxies));
  const [first = peer, second = first] = said;
  return first === second ? first : peer;
}

/** Requests by `inject` have no connection. */
function peerOf(socket: Socket | null, proxies: BlockList): Peer {
  const before = socket === null ? undefined : peers.get(socket);
  if (before !== undefined) return before;
  const address = plainAddress(socket?.remoteAddress);
  const peer = { address, isProxy: isIn(proxies, address) };
  // One that has closed has no address any more.
  if (socket !== null && address !== '') peers.set(socket, peer);
  return peer;
}

/** The last address that is no trusted proxy's, or the first one if all are. What is no address ends the search. */
function lastUntrusted(nodes: readonly string[], peer: string, proxies: BlockList): string {
  let client = peer;
  for (let at = nodes.length - 1; at >= 0 && isIn(proxies, client); at -= 1) {
    const address = addressOf(nodes[at]!);
    if (address === undefined) break;
    client = address;
  }
  return client;
}

/** The address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; undefined for anything else. */
function addressOf(node: string): string | undefined {
  const text = node.trim();
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(address) === 0 ? undefined : plainAddress(address);
}

/** A parameter of an element, and what separates it from the next one. */
const PARAMETER = /[ \t]*([\w!#$%&'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[\w!#$%&'*+.^`|~:[\]-]+)[ \t]*([;,]|$)/y;

/** What the elements of a Forwarded header are for, in their order; none if it is malformed. */
function nodesOf(header: string): string[] {
  const nodes: string[] = [];
  let node = '';
  PARAMETER.lastIndex = 0;
  while (PARAMETER.lastIndex < header.length) {
    const [, name, value, separator] = PARAMETER.exec(header) ?? [];
    if (name === undefined || value === undefined) return [];
    if (name.toLowerCase() === 'for') node = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
    if (separator === ';') continue;
    nodes.push(node);
    node = '';
  }
  return nodes;
}
