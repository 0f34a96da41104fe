/** URLs that clients name, queries that are signed, and hosts of the settings: none leads where the settings do not. */
import { BlockList, isIPv4 } from 'node:net';
import { readConfig } from '../../../src/config.js';
import { sourceOf } from '../../../src/http/from-url/allowed-hosts.js';
import { isPublic } from '../../../src/http/from-url/public-addresses.js';
import { faultOfAddress, signedQuery } from '../../../src/signed-address.js';
import { check, type Target } from '../target.js';
import { refusing } from './refusing.js';

const KEY = '0123456789abcdef';
const PATH = '/v1/heatmap';
const NAMES = ['images.example.com', '.cdn.example'];

/** Whatever is done to a URL, it is of a host that is named, or refused. */
export const imageUrl: Target = {
  open() {
    const settings = readConfig({ FULLCONV_URL_HOSTS: 'images.example.com,*.cdn.example' });
    const seeds = ['https://images.example.com/cat.jpg?a=b#c', 'http://a.cdn.example:80/%2e%2e/cat.jpg'];
    return Promise.resolve({
      seeds: seeds.map((url) => Buffer.from(url)),
      words: [
        ...[
          '@',
          ':',
          '//',
          '\\',
          '#',
          '?',
          '%40',
          '%00',
          '\t',
          '\n',
          '.',
          '。',
          'ⓔ',
          '[::1]',
          '0x7f.1',
          '127.1',
          ':443',
        ],
        ...['localhost', '169.254.169.254', 'evil.example', 'xn--', 'ß', '\u200d', 'file:', 'javascript:'],
      ],
      run: (bytes) =>
        refusing(() => {
          const { url } = sourceOf(bytes.toString(), settings);
          check(
            NAMES.some((name) => url.hostname === name || url.hostname.endsWith(name)),
            'the host is named',
          );
          check(/^https?:$/.test(url.protocol) && url.port === '', 'scheme and port are those of the settings');
          check(url.username + url.password === '', 'there are no credentials');
          return Promise.resolve();
        }),
    });
  },
};

/** No text is a public address that also is one of this machine or of its networks. */
export const publicAddress: Target = {
  open() {
    const inside = new BlockList();
    for (const [network, prefix] of [
      ['127.0.0.0', 8],
      ['10.0.0.0', 8],
      ['192.168.0.0', 16],
      ['169.254.0.0', 16],
    ] as const)
      inside.addSubnet(network, prefix, 'ipv4');
    return Promise.resolve({
      seeds: ['8.8.8.8', '2606:2800:220:1:248:1893:25c8:1946', '::ffff:10.0.0.1'].map((text) => Buffer.from(text)),
      words: ['::', ':', '.', '127.', '10.0.0.1', 'ffff:', '64:ff9b::', '2002:', '7f00:', '%lo', '0', '255'],
      run(bytes) {
        const text = bytes.toString();
        if (!isPublic(text)) return;
        if (isIPv4(text)) check(!inside.check(text, 'ipv4'), 'it is outside');
        else
          check(
            /^[23][\da-f]{3}:/i.test(text) && !/^(2001:0{0,4}:|2002:)/i.test(text),
            'it is in 2000::/3, and embeds no IPv4',
          );
      },
    });
  },
};

/** Whatever is done to a signed query, it no longer holds. */
export const signedQueries: Target = {
  open() {
    const right = signedQuery(PATH, 'url=https%3A%2F%2Fimages.example.com%2Fcat.jpg&class=a', KEY, 2_000_000_000);
    const parts = right.split('&').sort().join('&');
    return Promise.resolve({
      seeds: [Buffer.from(right)],
      words: ['&', '=', 'signature=', 'expires=', '%73ignature=', '+', '%20', '&&'],
      run(bytes) {
        const text = bytes.toString();
        const fault = faultOfAddress(PATH, text, [KEY], 1_900_000_000);
        // The signature may stand anywhere.
        check(fault !== undefined || text.split('&').sort().join('&') === parts, 'only what was signed holds');
      },
    });
  },
};
