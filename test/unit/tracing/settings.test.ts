import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.js';
import { readTraceSettings } from '../../../src/tracing/settings.js';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

describe('traces are', () => {
  it('off where nobody switches them on', () => {
    expect(readTraceSettings({})).toBeUndefined();
    expect(readTraceSettings({ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'nonsense' })).toBeUndefined();
    expect(readTraceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBeUndefined();
  });

  it('off where somebody switches them off', () => {
    expect(readTraceSettings({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' })).toBeUndefined();
    expect(readTraceSettings({ ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' })).toBeUndefined();
  });

  it('on with an endpoint, or with the exporter alone', () => {
    const standard = { sampler: { isParentBased: true, ratio: 1 }, takesContext: true, maxWaiting: 2048 };
    expect(readTraceSettings(ENDPOINT)).toEqual({ endpoint: 'http://collector:4318', ...standard });
    expect(readTraceSettings({ OTEL_TRACES_EXPORTER: 'otlp' })).toEqual({
      endpoint: 'http://localhost:4318',
      ...standard,
    });
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://user:secret@traces.example/v1/traces' };
    expect(readTraceSettings({ ...ENDPOINT, ...own })?.endpoint, 'without a password').toBe('https://traces.example');
  });
});

it.each([
  ['always_on', undefined, { isParentBased: false, ratio: 1 }],
  ['always_off', undefined, { isParentBased: false, ratio: 0 }],
  ['traceidratio', '0.01', { isParentBased: false, ratio: 0.01 }],
  ['parentbased_always_off', undefined, { isParentBased: true, ratio: 0 }],
  ['parentbased_traceidratio', '0.5', { isParentBased: true, ratio: 0.5 }],
  ['parentbased_traceidratio', undefined, { isParentBased: true, ratio: 1 }],
  ['Always_On', undefined, { isParentBased: false, ratio: 1 }],
])('the sampler %s with %s', (sampler, argument, expected) => {
  const variables = { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument };
  expect(readTraceSettings({ ...ENDPOINT, ...variables })?.sampler).toEqual(expected);
});

it.each([
  [{ OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER=zipkin'],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL=grpc'],
  [{ OTEL_TRACES_SAMPLER: 'xray' }, 'OTEL_TRACES_SAMPLER=xray'],
  [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1 %' }, 'OTEL_TRACES_SAMPLER_ARG=1 %'],
  [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.1' }, 'OTEL_TRACES_SAMPLER_ARG=1.1'],
  [{ OTEL_PROPAGATORS: 'b3' }, 'OTEL_PROPAGATORS=b3'],
  [{ OTEL_BSP_MAX_QUEUE_SIZE: '1e9' }, 'OTEL_BSP_MAX_QUEUE_SIZE=1e9'],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT: must be an address'],
])('a value that is not taken is named: %o', (variables, said) => {
  expect(() => readTraceSettings({ ...ENDPOINT, ...variables })).toThrow(UsageError);
  expect(() => readTraceSettings({ ...ENDPOINT, ...variables })).toThrow(said);
});

it('callers are believed unless the propagators say otherwise', () => {
  const takes = (propagators: string): boolean | undefined =>
    readTraceSettings({ ...ENDPOINT, OTEL_PROPAGATORS: propagators })?.takesContext;
  expect(takes('tracecontext,baggage')).toBe(true);
  expect(takes('baggage')).toBe(false);
  expect(takes('none')).toBe(false);
});
