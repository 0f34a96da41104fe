/** Which requests of browsers are refused, by Host, Origin and Sec-Fetch-Site. */
import type { FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import { createForeignCheck, type ForeignSettings } from '../../../src/http/foreign-pages.js';

const LOCAL: ForeignSettings = { host: '127.0.0.1', allowedHosts: [], corsOrigins: [] };
const EVERYWHERE: ForeignSettings = { ...LOCAL, host: '0.0.0.0' };

function outcome(settings: ForeignSettings, headers: Record<string, string>, method = 'POST'): string {
  const refusals: string[] = [];
  const check = createForeignCheck(settings, (refusal) => refusals.push(refusal));
  const request = { method, raw: { headers, httpVersion: '1.1' } } as unknown as FastifyRequest;
  try {
    check(request);
    return 'taken';
  } catch (error) {
    expect(error).toMatchObject({ code: 'FORBIDDEN' });
    return refusals.join();
  }
}

describe('a server that listens on this machine alone', () => {
  it.each([
    'localhost:8080',
    '127.0.0.1:8080',
    '127.0.0.1',
    '[::1]:8080',
    '192.168.1.5:8080',
    'x',
    'fullconv:80',
    'app.localhost:8080',
    'LOCALHOST.:8080',
  ])('may be asked as %s', (host) => {
    expect(outcome(LOCAL, { host }, 'GET')).toBe('taken');
  });

  it.each(['evil.example', 'evil.example:8080', '127.0.0.1.nip.io', 'localhost.evil.example:8080', 'evil.example.'])(
    'may not be asked as %s, whatever the method and the client',
    (host) => {
      expect(outcome(LOCAL, { host }, 'GET')).toBe('host');
      expect(outcome(LOCAL, { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })).toBe('host');
    },
  );

  it('may be asked under names of the setting, and only those', () => {
    const settings = { ...LOCAL, allowedHosts: ['images.example.com'] };
    expect(outcome(settings, { host: 'Images.example.com' })).toBe('taken');
    expect(outcome(settings, { host: 'example.com' })).toBe('host');
    expect(outcome({ ...LOCAL, allowedHosts: ['*'] }, { host: 'evil.example' })).toBe('taken');
  });
});

it('a server that others reach has any name, unless the setting names some', () => {
  expect(outcome(EVERYWHERE, { host: 'fullconv.prod.svc.cluster.local' })).toBe('taken');
  expect(outcome({ ...EVERYWHERE, allowedHosts: ['a.example'] }, { host: 'b.example' })).toBe('host');
});

describe.each([
  ['on this machine', LOCAL, 'localhost:8080'],
  ['for others', EVERYWHERE, 'photos.example.com'],
])('posts to a server %s', (_, settings, host) => {
  const own = `http://${host}`;

  it('of programs are taken', () => {
    expect(outcome(settings, { host })).toBe('taken');
  });

  it.each(['cross-site', 'same-site'])('of pages are refused whose Sec-Fetch-Site is %s', (site) => {
    expect(outcome(settings, { host, 'sec-fetch-site': site, origin: 'https://evil.example' })).toBe('cross_site');
    expect(outcome(settings, { host, 'sec-fetch-site': site })).toBe('cross_site');
  });

  it.each(['https://evil.example', 'null', 'http://localhost:3000', 'nonsense'])(
    'of browsers without that header are refused by the Origin %s',
    (origin) => {
      expect(outcome(settings, { host, origin })).toBe('cross_site');
    },
  );

  it('of its own page are taken, also behind a proxy that changes the Host', () => {
    expect(outcome(settings, { host, origin: own })).toBe('taken');
    expect(outcome(settings, { host, origin: own, 'sec-fetch-site': 'same-origin' })).toBe('taken');
    const proxied = { host: '10.0.0.7:8080', origin: 'https://photos.example.com' };
    expect(outcome(settings, { ...proxied, 'sec-fetch-site': 'same-origin' })).toBe('taken');
    expect(outcome(settings, { ...proxied, 'x-forwarded-host': 'photos.example.com' })).toBe('taken');
    expect(outcome(settings, { host: `${host.split(':')[0]!}:80`, origin: `http://${host.split(':')[0]!}` })).toBe(
      'taken',
    );
  });

  it('of allowed origins are taken', () => {
    const headers = { host, origin: 'https://friend.example', 'sec-fetch-site': 'cross-site' };
    expect(outcome({ ...settings, corsOrigins: ['https://friend.example'] }, headers)).toBe('taken');
    expect(outcome({ ...settings, corsOrigins: ['*'] }, headers)).toBe('taken');
    expect(outcome({ ...settings, corsOrigins: ['https://other.example'] }, headers)).toBe('cross_site');
  });

  it('are refused, but not reading', () => {
    expect(outcome(settings, { host, 'sec-fetch-site': 'cross-site' }, 'GET')).toBe('taken');
  });
});
