/** What Prometheus and Grafana are given: metrics by the rules of their formats, alerts, a dashboard of metrics that there are. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dashboard } from '../../load/dashboard-model.js';
import { createMetrics } from '../../src/http/metrics.js';
import { startTestApp, type TestApp } from '../support/app.js';

const ROOT = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8');
const rules = read('deploy/prometheus/rules.yaml');
const dashboard = JSON.parse(read('deploy/grafana/fullconv.json')) as Dashboard;

const promtool = (args: readonly string[], input = '') =>
  spawnSync('promtool', args, { input, encoding: 'utf8', cwd: ROOT });
const hasPromtool = promtool(['--version']).status === 0;
if (!hasPromtool) process.stderr.write('notice: there is no promtool; the tests that run it are skipped\n');

let app: TestApp;
let classic: string;
let openMetrics: string;
/** Of a server with keys and TLS. */
let ofFiles: string;
const spans = { sent: 1, failed: 0, dropped: 0 };
beforeAll(async () => {
  const tracing = { begin: () => undefined, spans, close: () => Promise.resolve() };
  app = await startTestApp({}, undefined, { tracing });
  const payload = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  const post = (url: string, accept = '*/*') =>
    app.http.inject({ method: 'POST', url, payload, headers: { 'content-type': 'image/png', accept } });
  expect((await post('/v1/heatmap', 'image/png')).statusCode).toBe(200);
  expect((await post('/v1/classify?topK=x')).statusCode).toBe(400);
  classic = (await app.http.inject('/metrics')).body;
  const accept = 'application/openmetrics-text';
  openMetrics = (await app.http.inject({ url: '/metrics', headers: { accept } })).body;
  const metrics = createMetrics();
  metrics.watchKeys(() => true);
  metrics.watchTls(() => true);
  ofFiles = (await metrics.expose()).body;
});
afterAll(() => app.close());

/** The names in an expression of those that this server or its libraries give. */
const namesIn = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:fullconv|nodejs|process)_\w+/g)]
    .map(([name]) => name)
    .filter((name) => !/^fullconv_requests$/.test(name));

/** Of the series, histograms with their parts. */
const exposed = (): Set<string> =>
  new Set([...(classic + ofFiles).matchAll(/^(\w+)(?:\{.*\})? \S+$/gm)].map(([, name]) => name!));

describe('the metrics', () => {
  it.skipIf(!hasPromtool)('are as promtool wants them', () => {
    const checked = promtool(['check', 'metrics'], classic);
    expect(checked.stderr + checked.stdout).toBe('');
    expect(checked.status).toBe(0);
  });

  it('are the same in both formats, which differ where they must', () => {
    const series = (body: string): string[] =>
      [...body.matchAll(/^(fullconv_\w+(?:\{[^}]*\})?) /gm)]
        .map(([, name]) => name!)
        .filter((name) => !name.includes('route="/metrics"'))
        .sort();
    expect(series(openMetrics)).toEqual(series(classic));
    expect(openMetrics.endsWith('\n# EOF\n')).toBe(true);
    expect(openMetrics).toContain('# TYPE fullconv_dispatches counter');
    expect(classic).toContain('# TYPE fullconv_dispatches_total counter');
    expect(classic).not.toContain('# EOF');
  });

  it('keep their names whoever asked for the other format before', async () => {
    expect((await app.http.inject('/metrics')).body).toContain('\nfullconv_dispatches_total{');
  });

  it('go in the classic format to whoever does not ask for the other one', async () => {
    const formatOf = async (accept: string): Promise<string> =>
      String((await app.http.inject({ url: '/metrics', headers: { accept } })).headers['content-type']).split(';')[0]!;
    expect(await formatOf('*/*')).toBe('text/plain');
    expect(await formatOf('text/plain;version=0.0.4;q=0.5, application/openmetrics-text;q=0.1')).toBe('text/plain');
    expect(await formatOf('application/json')).toBe('text/plain');
    // Prometheus 3.
    expect(
      await formatOf(
        'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
      ),
    ).toBe('application/openmetrics-text');
  });

  it('say what runs, whether it is ready, and the state of each model', () => {
    expect(classic).toMatch(
      /^fullconv_build_info\{version="[^"]+",node="\d+\.\d+\.\d+",engine="onnxruntime",arch="\w+"\} 1$/m,
    );
    expect(classic).toMatch(/^fullconv_ready 1$/m);
    expect(classic).toMatch(/^fullconv_workers\{state="ready"\} 2$/m);
    expect(classic).toMatch(/^fullconv_workers\{state="given_up"\} 0$/m);
    expect(classic).toContain('fullconv_model_state{model="tiny-vgg",version="1",state="ready"} 1');
    expect(classic).toContain('fullconv_model_state{model="tiny-vgg",version="1",state="failed"} 0');
    expect(classic).toMatch(/^fullconv_problems_total\{code="INVALID_REQUEST"\} 1$/m);
    expect(classic).toMatch(/^fullconv_problems_total\{code="QUEUE_FULL"\} 0$/m);
  });

  it('are all in docs/operations.md', () => {
    const page = read('docs/operations.md');
    const deprecated = ['fullconv_run_seconds_per_gflop'];
    const names = [...classic.matchAll(/^# TYPE (fullconv_\w+) /gm)].map(([, name]) => name!);
    expect(names.filter((name) => !page.includes(`\`${name}\``) && !deprecated.includes(name))).toEqual([]);
  });
});

describe('the alerts', () => {
  const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name!);

  it.skipIf(!hasPromtool)('fire when they should, and not before', () => {
    const tested = promtool(['test', 'rules', 'deploy/prometheus/rules.test.yaml']);
    expect(tested.stdout + tested.stderr).toContain('SUCCESS');
    expect(tested.status).toBe(0);
    expect(promtool(['check', 'rules', 'deploy/prometheus/rules.yaml']).status).toBe(0);
  });

  it('each have a test in which they fire, a summary, a description and something to do', () => {
    expect(alerts.length).toBeGreaterThan(10);
    const tests = read('deploy/prometheus/rules.test.yaml');
    const page = read('docs/operations.md');
    const bodies = rules.split(/^ +- alert: /m).slice(1);
    for (const [index, name] of alerts.entries()) {
      expect(tests, name).toMatch(new RegExp(`alertname: ${name}\\n +exp_alerts:\\n`));
      expect(page, name).toMatch(new RegExp(`^\\| ${name} \\| (critical|warning|info) \\| .{20,}`, 'm'));
      for (const part of ['severity', 'summary', 'description', 'runbook']) {
        expect(bodies[index], name).toContain(`${part}: `);
      }
    }
  });

  it('are about metrics that there are', () => {
    const names = namesIn(rules.replaceAll(/^ *#.*$/gm, ''));
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !exposed().has(name))).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('is about metrics that there are', () => {
    const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(20);
    const missing = expressions.flatMap((expr) => namesIn(expr).filter((name) => !exposed().has(name)));
    expect(missing).toEqual([]);
    expect(namesIn(JSON.stringify(dashboard)).length).toBeGreaterThan(expressions.length);
  });

  it('chooses among what there is, and names no source of its own', () => {
    const { templating, schemaVersion } = dashboard;
    expect(schemaVersion).toBeGreaterThanOrEqual(38);
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'instance', 'model']);
    const sources = [...JSON.stringify(dashboard).matchAll(/"uid":"([^"]+)"/g)].map(([, uid]) => uid);
    expect(new Set(sources)).toEqual(new Set(['${datasource}', 'fullconv']));
  });

  it('has panels with ids of their own, which do not cover each other', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const [index, { gridPos: a, title }] of panels.entries()) {
      expect(a.x + a.w, title).toBeLessThanOrEqual(24);
      for (const { gridPos: b, title: other } of panels.slice(index + 1)) {
        const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
        expect(apart, `${title} and ${other}`).toBe(true);
      }
    }
  });
});
