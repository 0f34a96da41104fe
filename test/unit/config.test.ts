import { describe, expect, it } from 'vitest';
import { coreCount } from '../../src/cores.js';
import { ConfigError, SETTING_LIST, readConfig } from '../../src/config.js';

describe('the settings', () => {
  it('have the defaults that the help shows', () => {
    const config = readConfig({});
    expect(config).toMatchObject({ port: 8080, host: '127.0.0.1', providers: ['cpu'], untrained: [], threads: 1 });
    expect(Object.keys(config).sort()).toEqual(SETTING_LIST.map(({ name }) => name).sort());
  });

  it('are taken from flags before the environment', () => {
    expect(readConfig({ PORT: '1' }).port).toBe(1);
    expect(readConfig({ PORT: '1' }, { port: '2' }).port).toBe(2);
  });

  it('lay the cores out for throughput or for latency, unless told how many workers and threads', () => {
    const cores = coreCount();
    expect(readConfig({})).toMatchObject({ layout: 'throughput', workers: cores, threads: 1 });
    expect(readConfig({ FULLCONV_LAYOUT: 'latency' })).toMatchObject({ workers: 1, threads: cores });
    expect(readConfig({ FULLCONV_LAYOUT: 'latency', FULLCONV_THREADS: '3' })).toMatchObject({ workers: 1, threads: 3 });
    expect(readConfig({ FULLCONV_LAYOUT: 'throughput' }, { layout: 'latency' })).toMatchObject({ workers: 1 });
    expect(() => readConfig({ FULLCONV_LAYOUT: 'both' })).toThrow(/^FULLCONV_LAYOUT=both: /);
  });

  it('have the providers of their engine only', () => {
    expect(readConfig({ FULLCONV_ENGINE: 'tensorflow' })).toMatchObject({ engine: 'tensorflow', workers: 1 });
    expect(readConfig({ FULLCONV_ENGINE: 'tensorflow', FULLCONV_WORKERS: '2' }).workers).toBe(2);
    expect(() => readConfig({ FULLCONV_PROVIDERS: 'wasm' })).toThrow(
      /^FULLCONV_PROVIDERS=wasm: the engine onnxruntime has the providers cpu, /,
    );
    expect(() => readConfig({ FULLCONV_ENGINE: 'tensorflow', FULLCONV_PROVIDERS: 'cpu,webgpu' })).toThrow(ConfigError);
  });

  it('are validated, with a message that names where the wrong value came from', () => {
    expect(() => readConfig({ FULLCONV_MAX_BATCH: 'many' })).toThrow(/^FULLCONV_MAX_BATCH=many: /);
    expect(() => readConfig({}, { maxBatch: '0' })).toThrow(/^--max-batch=0: /);
    expect(() => readConfig({ FULLCONV_BACKGROUND: 'white' })).toThrow(/six hexadecimal digits/);
    expect(() => readConfig({ FULLCONV_PROVIDERS: 'cpu,abacus' })).toThrow(ConfigError);
  });

  it('do not hide a misspelt one, but leave Kubernetes’ service links alone', () => {
    expect(() => readConfig({ FULLCONV_WORKER: '2' })).toThrow(/FULLCONV_WORKER is not a setting/);
    const links = {
      FULLCONV_PORT: 'tcp://10.0.0.1:80',
      FULLCONV_SERVICE_HOST: '10.0.0.1',
      FULLCONV_PORT_80_TCP_ADDR: '10.0.0.1',
    };
    expect(readConfig(links).port).toBe(8080);
  });

  it('turn a colour into its channels, and lists into lists', () => {
    const config = readConfig({ FULLCONV_BACKGROUND: '#0a141e', FULLCONV_UNTRAINED: 'resnet50,vgg16' });
    expect(config.background).toEqual({ r: 10, g: 20, b: 30 });
    expect(config.untrained).toEqual(['resnet50', 'vgg16']);
  });
});
