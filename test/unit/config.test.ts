import { describe, expect, it, vi } from 'vitest';
import { coreCount } from '../../src/cores.js';
import { ConfigError, SETTING_LIST, readConfig } from '../../src/config.js';

describe('the settings', () => {
  it('have the defaults that the help shows', () => {
    const config = readConfig({});
    expect(config).toMatchObject({ port: 8080, host: '127.0.0.1', device: 'auto', untrained: [], threads: 1 });
    expect(Object.keys(config).sort()).toEqual(SETTING_LIST.map(({ name }) => name).sort());
  });

  it('are taken from flags before the environment', () => {
    expect(readConfig({ PORT: '1' }).port).toBe(1);
    expect(readConfig({ PORT: '1' }, { port: '2' }).port).toBe(2);
  });

  it('lay the cores out for throughput or for latency, unless told how many workers and threads', () => {
    const cores = coreCount();
    expect(readConfig({})).toMatchObject({ layout: 'throughput', workers: undefined, threads: 1 });
    expect(readConfig({ FULLCONV_LAYOUT: 'latency' })).toMatchObject({ workers: 1, threads: cores });
    expect(readConfig({ FULLCONV_LAYOUT: 'latency', FULLCONV_THREADS: '3' })).toMatchObject({ workers: 1, threads: 3 });
    expect(readConfig({ FULLCONV_LAYOUT: 'throughput' }, { layout: 'latency' })).toMatchObject({ workers: 1 });
    expect(() => readConfig({ FULLCONV_LAYOUT: 'both' })).toThrow(/^FULLCONV_LAYOUT=both: /);
  });

  it('are validated, with a message that names where the wrong value came from', () => {
    expect(() => readConfig({ FULLCONV_MAX_BATCH: 'many' })).toThrow(/^FULLCONV_MAX_BATCH=many: /);
    expect(() => readConfig({}, { maxBatch: '0' })).toThrow(/^--max-batch=0: /);
    expect(() => readConfig({ FULLCONV_BACKGROUND: 'white' })).toThrow(/six hexadecimal digits/);
    expect(() => readConfig({ FULLCONV_DEVICE: 'abacus' })).toThrow(/^FULLCONV_DEVICE=abacus: "abacus" is not one of/);
    expect(() => readConfig({ FULLCONV_WORKERS: '0' })).toThrow(
      new ConfigError('FULLCONV_WORKERS=0: Too small: expected number to be >=1'),
    );
  });

  it.each(SETTING_LIST.map(({ variable, name }) => [variable, name] as const))(
    'have the default of %s where it is empty, as where it is not set',
    (variable, name) => {
      const config = readConfig({});
      expect(readConfig({ [variable]: '' })).toEqual(config);
      expect(readConfig({}, { [name]: '' })).toEqual(config);
    },
  );

  it('have an empty flag win over the environment, but no empty variable over its old name', () => {
    expect(readConfig({ FULLCONV_MIN_RATE: '5' }, { minRate: '' }).minRate).toBe(1000);
    const names = { FULLCONV_MAX_BATCH_GMACS: '', FULLCONV_MAX_BATCH_GFLOPS: '12' };
    expect(readConfig(names).maxBatchGmacs).toBe(12);
    expect(readConfig({ FULLCONV_LAYOUT: '' })).toEqual(readConfig({}));
  });

  const isNumber = (variable: string): boolean => {
    try {
      readConfig({ [variable]: 'x' });
      return false;
    } catch (error) {
      return (error as Error).message.endsWith(': must be a number in decimal, e.g. 10');
    }
  };
  const numbers = SETTING_LIST.map(({ variable }) => variable).filter(isNumber);

  it.each(numbers)('take decimal numbers alone for %s', (variable) => {
    for (const text of [
      ' ',
      '\t',
      '0x50',
      '0b11',
      '0o17',
      '1_000',
      '1,5',
      '7 ',
      '+7',
      'Infinity',
      'NaN',
      '.',
      'true',
    ]) {
      expect(() => readConfig({ [variable]: text }), text).toThrow(`${variable}=${text}: must be a number in decimal`);
    }
  });

  it('take numbers as people write them', () => {
    expect(numbers.length).toBeGreaterThan(30);
    expect(readConfig({ FULLCONV_MAX_PIXELS: '1e6', FULLCONV_MAX_DRAW_SECONDS: '.5' })).toMatchObject({
      ...{ maxPixels: 1_000_000, maxDrawSeconds: 0.5 },
    });
    expect(() => readConfig({ PORT: '80.5' })).toThrow('PORT=80.5: Invalid input: expected int, received number');
    expect(() => readConfig({ PORT: '-1' })).toThrow(/^PORT=-1: Too small/);
  });

  it('take origins as browsers write them, a list or every one', () => {
    expect(readConfig({}).corsOrigins).toEqual([]);
    expect(readConfig({ FULLCONV_CORS_ORIGINS: '*' }).corsOrigins).toEqual(['*']);
    expect(readConfig({ FULLCONV_CORS_ORIGINS: 'https://a.example,http://localhost:5173' }).corsOrigins).toEqual([
      'https://a.example',
      'http://localhost:5173',
    ]);
  });

  it.each([
    ['a.example', 'is not an origin; an origin is a scheme and a host without a path, e.g. https://example.com'],
    ['https://a.example/', 'is not an origin'],
    ['https://a.example:443', 'is not an origin'],
    ['https://A.example', 'is not an origin'],
    ['https://*.example', 'is not an origin'],
    ['null', 'is not an origin'],
  ])('refuse %s as an origin', (origin, message) => {
    const settings = { FULLCONV_CORS_ORIGINS: `https://b.example,${origin}` };
    expect(() => readConfig(settings)).toThrow(
      `FULLCONV_CORS_ORIGINS=https://b.example,${origin}: "${origin}" ${message}`,
    );
  });

  it('take addresses and subnets of proxies', () => {
    const { trustedProxies } = readConfig({ FULLCONV_TRUSTED_PROXIES: '10.0.0.7,10.1.0.0/16,fd00::/8' });
    const isTrusted = (address: string): boolean =>
      trustedProxies.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
    expect(['10.0.0.7', '10.1.2.3', 'fd00::1'].map(isTrusted)).toEqual([true, true, true]);
    expect(['10.0.0.8', '10.2.0.1', 'fe80::1'].map(isTrusted)).toEqual([false, false, false]);
  });

  it.each(['proxy.example', '10.0.0.300', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x'])(
    'refuse %s as a proxy',
    (entry) => {
      expect(() => readConfig({ FULLCONV_TRUSTED_PROXIES: `10.0.0.1,${entry}` })).toThrow(
        `"${entry}" is not an address or a subnet`,
      );
    },
  );

  it('refuse every origin beside another', () => {
    expect(() => readConfig({ FULLCONV_CORS_ORIGINS: '*,https://a.example' })).toThrow('must stand alone');
  });

  it('are taken under an old name for one more version, with a warning', () => {
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    expect(readConfig({ FULLCONV_MAX_BATCH_GFLOPS: '12' }, {}, warn).maxBatchGmacs).toBe(12);
    expect(readConfig({}, { '--max-batch-gflops': '12' }, warn).maxBatchGmacs).toBe(12);
    expect(warnings).toEqual([
      'FULLCONV_MAX_BATCH_GFLOPS is called FULLCONV_MAX_BATCH_GMACS now; the next version does not take the old name',
      '--max-batch-gflops is called --max-batch-gmacs now; the next version does not take the old name',
    ]);
    warnings.length = 0;
    expect(readConfig({ FULLCONV_MAX_BATCH_GMACS: '12' }, {}, warn).maxBatchGmacs).toBe(12);
    expect(readConfig({}, { maxBatchGmacs: '12' }, warn).maxBatchGmacs).toBe(12);
    expect(warnings).toEqual([]);
  });

  it('may have both names where both say the same, and a flag of either wins over the environment', () => {
    const both = { FULLCONV_MAX_BATCH_GMACS: '12', FULLCONV_MAX_BATCH_GFLOPS: '12' };
    expect(readConfig(both).maxBatchGmacs).toBe(12);
    expect(readConfig(both, { '--max-batch-gflops': '3' }).maxBatchGmacs).toBe(3);
    expect(readConfig(both, { maxBatchGmacs: '3' }).maxBatchGmacs).toBe(3);
  });

  it('refuse two values under both names, and name both', () => {
    expect(() => readConfig({ FULLCONV_MAX_BATCH_GMACS: '12', FULLCONV_MAX_BATCH_GFLOPS: '13' })).toThrow(
      new ConfigError(
        'FULLCONV_MAX_BATCH_GMACS=12 and FULLCONV_MAX_BATCH_GFLOPS=13 are the same setting under its new and its old name: leave out the old one',
      ),
    );
    expect(() => readConfig({}, { maxBatchGmacs: '12', '--max-batch-gflops': '13' })).toThrow(
      /^--max-batch-gmacs=12 and --max-batch-gflops=13 are the same setting/,
    );
    expect(() => readConfig({ FULLCONV_MAX_BATCH_GFLOPS: 'many' })).toThrow(/^FULLCONV_MAX_BATCH_GFLOPS=many: /);
  });

  it('name devices, which decide what is not set', () => {
    const config = readConfig({ FULLCONV_DEVICE: 'cuda:0,cuda:1' });
    expect(config.device).toEqual([
      { kind: 'cuda', index: 0 },
      { kind: 'cuda', index: 1 },
    ]);
    expect(config).toMatchObject({ workers: undefined, maxBatch: undefined });
    expect(readConfig({ FULLCONV_WORKERS: '3', FULLCONV_MAX_BATCH: '7' })).toMatchObject({ workers: 3, maxBatch: 7 });
  });

  it.each([
    'FULLCONV_WORKER=2',
    'FULLCONV_PORT=8080',
    'FULLCONV_HOST=0.0.0.0',
    'FULLCONV_SERVICE_HOST=name',
    'FULLCONV_CANARY_SERVICE_HOTS=10.0.0.1',
    'FULLCONV_PORT_80=tcp://10.0.0.1:80',
    'FULLCONV_MAX_PORT=17',
  ])('do not hide the misspelt %s', (text) => {
    const [name, value] = text.split('=');
    expect(() => readConfig({ [name!]: value })).toThrow(`${name} is not a setting`);
  });

  it.each(['FULLCONV', 'FULLCONV_CANARY', 'FULLCONV_2_MAX_BYTES'])(
    'leave alone what Kubernetes says of a service %s',
    (service) => {
      const links = {
        [`${service}_SERVICE_HOST`]: '10.0.0.1',
        [`${service}_SERVICE_PORT`]: '80',
        [`${service}_SERVICE_PORT_HTTP_METRICS`]: '9090',
        [`${service}_PORT`]: 'tcp://10.0.0.1:80',
        [`${service}_PORT_80_TCP`]: 'tcp://10.0.0.1:80',
        [`${service}_PORT_80_TCP_PROTO`]: 'tcp',
        [`${service}_PORT_80_TCP_PORT`]: '80',
        [`${service}_PORT_80_TCP_ADDR`]: '10.0.0.1',
        [`${service}_PORT_53_UDP`]: 'udp://[fd00::1]:53',
        [`${service}_PORT_53_UDP_ADDR`]: 'fd00::1',
      };
      expect(readConfig(links)).toEqual(readConfig({}));
    },
  );

  it('have a default cache where the user has no home', async () => {
    vi.resetModules();
    vi.stubEnv('XDG_CACHE_HOME', '');
    vi.doMock('node:os', async (original) => ({
      ...(await original<typeof import('node:os')>()),
      homedir: () => {
        throw new Error('ENOENT: no such file or directory, uv_os_homedir');
      },
    }));
    try {
      const fresh = await import('../../src/config.js');
      expect(fresh.readConfig({}).cache).toBe('/dev/null/.cache/fullconv');
      expect(fresh.readConfig({ FULLCONV_CACHE: '/var/cache' }).cache).toBe('/var/cache');
    } finally {
      vi.doUnmock('node:os');
      vi.unstubAllEnvs();
      vi.resetModules();
    }
  });

  it('turn a colour into its channels, and lists into lists', () => {
    const config = readConfig({ FULLCONV_BACKGROUND: '#0a141e', FULLCONV_UNTRAINED: 'resnet50,vgg16' });
    expect(config.background).toEqual({ r: 10, g: 20, b: 30 });
    expect(config.untrained).toEqual(['resnet50', 'vgg16']);
  });
});
