import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { exitCodeOf } from '../../../src/cli/exit-code.js';
import { createExportLog } from '../../../src/tracing/export-log.js';
import { startTracing } from '../../../src/tracing/open-telemetry.js';
import { readTraceSettings } from '../../../src/tracing/settings.js';

it('a server without the packages ends with the command that installs them', async () => {
  const started = startTracing({
    settings: readTraceSettings({ OTEL_TRACES_EXPORTER: 'otlp' })!,
    version: '1',
    log: { info: () => undefined, warn: () => undefined },
    load: () => Promise.reject(new Error("Cannot find package '@opentelemetry/sdk-trace-node'\nimported from x")),
  });
  const error = await started.catch((thrown: unknown) => thrown as Error);
  expect((error as Error).message).toBe(
    "traces are switched on, and OpenTelemetry cannot be loaded (Cannot find package '@opentelemetry/sdk-trace-node'): npm install --save-prod '@opentelemetry/api@~1.9.1' '@opentelemetry/resources@^2.12.1' '@opentelemetry/sdk-trace-node@^2.12.1' '@opentelemetry/exporter-trace-otlp-proto@^0.223.1'; OTEL_TRACES_EXPORTER=none switches traces off",
  );
  expect(exitCodeOf(error)).toBe(3);
});

it('the versions are those that are tested here, in the sentence, in the image and in the peers', () => {
  const read = (file: string): string => readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
  const { devDependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<
    string,
    Record<string, string>
  >;
  const tested = Object.entries(devDependencies!).filter(([name]) => name.startsWith('@opentelemetry/'));
  expect(tested).toHaveLength(4);
  for (const [name, range] of tested) {
    expect(Object.keys(peerDependencies!)).toContain(name);
    for (const file of ['src/tracing/open-telemetry.ts', 'Dockerfile', 'docs/operations.md']) {
      expect(read(file), file).toContain(`${name}@${range}`);
    }
  }
});

it('the log says of a collector that fails once a minute how much was lost, and that it is back', () => {
  const said: unknown[] = [];
  const write = (facts: object, message: string): void => void said.push([facts, message]);
  let now = 0;
  const log = createExportLog({ info: write, warn: write }, 'http://collector', () => now);
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const FAILED = 'the collector did not take the spans of traces';
  log.sent();
  log.failed(5, refused);
  now = 59_000;
  log.failed(7, refused);
  now = 61_000;
  log.failed(1, refused);
  log.failed(2, undefined);
  log.sent();
  log.sent();
  const why = 'ECONNREFUSED connect ECONNREFUSED';
  expect(said).toEqual([
    [{ endpoint: 'http://collector', lost: 5, why }, FAILED],
    [{ endpoint: 'http://collector', lost: 8, why }, FAILED],
    [{ endpoint: 'http://collector', lost: 2 }, 'spans are taken again'],
  ]);
});
