/** Which URLs name a host of the settings. */
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../../src/config.js';
import type { ServiceError } from '../../../../src/errors.js';
import { mayFetch, redirectTarget, sourceOf } from '../../../../src/http/from-url/allowed-hosts.js';

const settings = (urlHosts: string, urlPrivateHosts = '') =>
  readConfig({ FULLCONV_URL_HOSTS: urlHosts, FULLCONV_URL_PRIVATE_HOSTS: urlPrivateHosts });
const HOSTS = settings(
  'images.example.com,*.cdn.example,https://safe.example,other.example:8080,http://plain.example:8000,bücher.example',
  'store,10.0.0.7:9000,[fd00::1]:9000',
);

function outcome(url: string, hosts = HOSTS): string {
  try {
    return sourceOf(url, hosts).reach;
  } catch (error) {
    const { code, errors } = error as ServiceError;
    expect([code, errors[0]!.parameter]).toEqual(['INVALID_REQUEST', 'url']);
    return errors[0]!.detail;
  }
}

describe('a URL', () => {
  it.each([
    'https://images.example.com/cat.jpg?size=1#x',
    'http://images.example.com/',
    'https://IMAGES.Example.COM:443/cat.jpg',
    'http://images.example.com:80/cat.jpg',
    'https://a.cdn.example/',
    'https://a.b.cdn.example/',
    'https://safe.example/',
    'http://other.example:8080/',
    'https://other.example:8080/',
    'http://plain.example:8000/',
    'https://xn--bcher-kva.example/',
    'https://bücher.example/',
  ])('%s is of a host that is named', (url) => {
    expect(outcome(url)).toBe('public');
  });

  it.each(['http://store/a.png', 'http://10.0.0.7:9000/a', 'http://0xa.7:9000/a', 'http://[FD00:0::1]:9000/a'])(
    '%s is of a private host that is named',
    (url) => {
      expect(outcome(url)).toBe('private');
    },
  );

  it.each([
    'https://example.com/',
    'https://ximages.example.com/',
    'https://images.example.com.evil.example/',
    'https://images.example.com./',
    'https://images.example.com:8443/',
    'https://images.example.com:80/',
    'http://images.example.com:443/',
    'https://cdn.example/',
    'https://xcdn.example/',
    'http://safe.example/',
    'https://safe.example:444/',
    'https://other.example/',
    'https://plain.example:8000/',
    'http://store:81/',
    'http://10.0.0.7/',
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0177.1/',
    'http://[::1]/',
    'http://[::ffff:10.0.0.7]:9000/',
    'https://evil.example/?images.example.com',
    'https://evil.example#@images.example.com/',
    'https://evil.example\\@images.example.com/',
  ])('%s is of none', (url) => {
    expect(outcome(url)).toMatch(/must be of a host that this server fetches/);
  });

  it.each([
    ['ftp://images.example.com/', /must begin with https/],
    ['file:///etc/passwd', /must begin with https/],
    ['data:image/png;base64,AAAA', /must begin with https/],
    ['javascript:alert(1)', /must begin with https/],
    ['https://user@images.example.com/', /no user and no password/],
    ['https://:password@images.example.com/', /no user and no password/],
    ['images.example.com/cat.jpg', /whole address/],
    ['//images.example.com/cat.jpg', /whole address/],
    ['', /whole address/],
    ['https://', /whole address/],
    [`https://images.example.com/${'x'.repeat(9000)}`, /at most 8192 characters/],
  ])('%s is refused for what it is', (url, why) => {
    expect(outcome(url)).toMatch(why);
  });
});

describe('a redirect', () => {
  const from = (url: string, location: string | undefined) =>
    redirectTarget(sourceOf(url, HOSTS), location, HOSTS)?.url.href;

  it('leads to hosts of the settings, by a whole address or a part of one', () => {
    expect(from('https://images.example.com/a/b', '../c')).toBe('https://images.example.com/c');
    expect(from('https://images.example.com/', '//a.cdn.example/c')).toBe('https://a.cdn.example/c');
    expect(from('http://images.example.com/', 'https://safe.example/')).toBe('https://safe.example/');
    expect(from('http://store/', 'http://10.0.0.7:9000/')).toBe('http://10.0.0.7:9000/');
    expect(from('http://store/', 'https://images.example.com/')).toBe('https://images.example.com/');
  });

  it.each([
    ['https://images.example.com/', 'http://images.example.com/', 'is less safe'],
    ['https://images.example.com/', 'http://store/a.png', 'leads into this network'],
    ['http://images.example.com/', 'http://store/a.png', 'leads into this network'],
    ['https://images.example.com/', 'https://evil.example/', 'is of another host'],
    ['https://images.example.com/', 'http://169.254.169.254/', 'is of another host'],
    ['https://images.example.com/', 'https://user@images.example.com/', 'has credentials'],
    ['https://images.example.com/', 'file:///etc/passwd', 'is of another scheme'],
    ['https://images.example.com/', 'https://', 'is no address'],
    ['https://images.example.com/', undefined, 'says nothing'],
  ])('from %s to %s is not followed: it %s', (url, location, _) => {
    expect(from(url, location)).toBeUndefined();
  });
});

describe('the settings', () => {
  it('let nothing be fetched unless they name a host', () => {
    expect([mayFetch(settings('')), mayFetch(HOSTS), mayFetch(settings('', 'store'))]).toEqual([false, true, true]);
  });

  it.each(['https://a.example/path', 'a b', '*', 'user@a.example', '*.10.0.0.1', 'a.example:99999', '[::1', 'ftp://a'])(
    'refuse %s',
    (entry) => {
      expect(() => settings(entry)).toThrow(/FULLCONV_URL_HOSTS=.*is not a host/);
    },
  );

  it('show no key where one is wrong', () => {
    const keys = (text: string) => () => readConfig({ FULLCONV_URL_KEYS: text });
    expect(keys('short')).toThrow('FULLCONV_URL_KEYS: a key must have at least 16 characters');
    expect(keys('short')).not.toThrow('=short');
    expect(keys(Array(3).fill('0123456789abcdef').join())).toThrow('two keys');
    expect(keys('0123456789abcdef,0123456789abcdeg')().urlKeys).toHaveLength(2);
  });
});
