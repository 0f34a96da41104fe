/**
 * The Helm chart without a cluster. What needs helm is skipped with a notice where there is none, on the path or where
 * deploy/test/cluster/build.sh puts it. deploy/test/cluster.test.ts applies the same forms to a real API server.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../src/config.js';
import { CHART, PROJECT, environment } from '../../../deploy/test/tools.js';

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const helm = (...args: readonly string[]): Run => spawnSync('helm', args, { env: environment(), encoding: 'utf8' });
const render = (...sets: readonly string[]): Run =>
  helm('template', 'x', CHART, '--kube-version', '1.34.4', ...sets.flatMap((set) => ['--set', set]));

const hasHelm = helm('version').status === 0;
const hasScore = spawnSync('kube-score', ['version'], { env: environment() }).status === 0;
if (!hasHelm) process.stderr.write('notice: there is no helm; the tests of its chart are skipped\n');

it.each(['deploy/prometheus/rules.yaml', 'deploy/grafana/fullconv.json'])(
  'the chart has %s as it is (npm run chart:files)',
  (file) => {
    const copy = join(CHART, 'files', file.split('/').at(-1)!);
    const read = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
    expect(read(copy)).toBe(read(join(PROJECT, file)));
  },
);

describe.skipIf(!hasHelm)('the chart', () => {
  it('is rendered in every form', () => {
    const folder = join(PROJECT, 'deploy/test/forms');
    for (const form of readdirSync(folder)) {
      const { status, stderr } = helm(
        ...['template', 'x', CHART, '--kube-version', '1.34.4', '--values', join(folder, form)],
      );
      expect(status, `${form}: ${stderr}`).toBe(0);
    }
  });

  /** The variables of the server's container, of a rendered chart. */
  function variablesOf(manifests: string): Record<string, string> {
    const pairs = [...manifests.matchAll(/- name: (HOST|PORT|FULLCONV_\w+)\n\s+value: "(.*)"/g)];
    return Object.fromEntries(pairs.map(([, name, value]) => [name!, value!]));
  }

  it('gives the server settings that it takes, and budgets that fit into its memory', () => {
    for (const limit of ['512Mi', '1Gi', '1500M', '64Gi']) {
      const { stdout } = render(`resources.limits.memory=${limit}`, 'models.source=pvc', 'models.pvc.claimName=models');
      const variables = variablesOf(stdout);
      const config = readConfig(variables);
      const units: Readonly<Record<string, number>> = { M: 1e6, Mi: 2 ** 20, Gi: 2 ** 30 };
      const bytes = parseInt(limit) * units[limit.replace(/\d+/, '')]!;
      const budgets = config.maxBodiesBytes + config.maxAnswersBytes + config.memoryMb * 2 ** 20;
      expect(budgets / bytes).toBeGreaterThan(0.54);
      expect(budgets / bytes).toBeLessThanOrEqual(0.55);
      // A body is charged at most twice its bytes.
      expect(2 * config.maxBytes).toBeLessThanOrEqual(config.maxBodiesBytes);
      expect(variables).toMatchObject({ HOST: '0.0.0.0', PORT: '8080', FULLCONV_MODELS: '/models' });
    }
  });

  it('lets settings win, and writes numbers of a file of values as they are', () => {
    const input = JSON.stringify({
      settings: { FULLCONV_MAX_BYTES: 33554433, FULLCONV_MAX_BODIES_BYTES: 123456789012 },
    });
    const file = ['--values', '-'];
    const options = { env: environment(), encoding: 'utf8', input } as const;
    const { stdout } = spawnSync('helm', ['template', 'x', CHART, '--kube-version', '1.34.4', ...file], options);
    expect(variablesOf(stdout)).toMatchObject({
      FULLCONV_MAX_BYTES: '33554433',
      FULLCONV_MAX_BODIES_BYTES: '123456789012',
    });
    expect(variablesOf(render('settings.FULLCONV_MAX_BYTES=1000').stdout)).toMatchObject({
      FULLCONV_MAX_BYTES: '1000',
    });
  });

  it('waits longer for a pod than its drain takes', () => {
    const { stdout } = render('drain.preStopSeconds=7', 'drain.delaySeconds=11', 'drain.timeoutSeconds=300');
    const [, grace] = /terminationGracePeriodSeconds: (\d+)/.exec(stdout) ?? [];
    expect(Number(grace)).toBeGreaterThan(7 + 11 + 300);
    expect(variablesOf(stdout)).toMatchObject({
      FULLCONV_DRAIN_DELAY_MS: '11000',
      FULLCONV_DRAIN_TIMEOUT_MS: '300000',
    });
  });

  describe('for a server that asks for keys', () => {
    const KEYS = 'keysSecret.name=keys';
    const MONITOR = 'serviceMonitor.enabled=true';
    /** What begins at an indented line, and is indented more. */
    const below = (manifests: string, line: string): string =>
      new RegExp(`^( *)${line}\\n(?:\\1 +.*\\n)*`, 'm').exec(manifests)?.[0] ?? '';

    it('gives Prometheus a key, and does without where no keys are asked for', () => {
      expect(below(render(MONITOR).stdout, 'authorization:')).toBe('');
      for (const keys of [KEYS, 'settings.FULLCONV_KEYS=/keys.json']) {
        const { status, stderr } = render(keys, MONITOR);
        expect(status).not.toBe(0);
        expect(stderr).toContain('wants serviceMonitor.keySecret.name');
        expect(render(keys).status).toBe(0);
      }
      const { stdout } = render(KEYS, MONITOR, 'serviceMonitor.keySecret.name=scraper');
      expect(below(stdout, 'authorization:')).toMatch(/credentials:\n +name: scraper\n +key: key\n/);
    });

    it('tests with a key, and the readiness alone without one', () => {
      const keyOfTest = (manifests: string): string => below(manifests, '- name: FULLCONV_TEST_KEY');
      const without = render(KEYS).stdout;
      expect(keyOfTest(without)).toBe('');
      expect(without.indexOf('process.exit()')).toBeGreaterThan(without.indexOf("expectOk('/readyz')"));
      expect(without.indexOf('process.exit()')).toBeLessThan(without.indexOf("expectOk('/v1/classify'"));
      const { stdout } = render(KEYS, 'test.keySecret.name=tester', 'test.keySecret.key=token');
      expect(keyOfTest(stdout)).toMatch(/secretKeyRef:\n +name: tester\n +key: token\n/);
      for (const manifests of [stdout, render().stdout]) expect(manifests).not.toContain('process.exit()');
    });
  });

  it.each([
    ['plain', [], 'http'],
    ['of a certificate of the settings', ['settings.FULLCONV_TLS_CERT=/tls.crt'], 'https'],
    ['of a certificate of extraEnv', ['extraEnv[0].name=FULLCONV_TLS_CERT', 'extraEnv[0].value=/tls.crt'], 'https'],
    ['plain, the certificate being empty', ['settings.FULLCONV_TLS_CERT='], 'http'],
  ])('speaks to a server %s in its own language', (_, sets, scheme) => {
    const { stdout, stderr } = render('serviceMonitor.enabled=true', ...sets);
    const probes = [...stdout.matchAll(/httpGet:\n +path: \S+\n +port: http\n( +scheme: (\w+)\n)?/g)];
    expect(
      probes.map((found) => found[2]),
      stderr,
    ).toEqual(Array(3).fill(scheme.toUpperCase()));
    expect(stdout).toContain(`- ${scheme}://x-fullconv:8080\n`);
    expect(stdout).toContain(`appProtocol: ${scheme}\n`);
    expect(stdout).toMatch(new RegExp(`path: /metrics\\n +interval: 15s\\n +scheme: ${scheme}\\n`));
  });

  it.each([
    ['replica=3', /replica/],
    ['settings.FULLCONV=1', /settings|FULLCONV/],
    ['resources.limits.memory=1GB', /memory/],
    ['models.source=volume', /source/],
    ['models.source=pvc', /claimName/],
    ['models.source=pull', /names/],
    ['gateway.enabled=true', /parentRefs/],
  ])('refuses %s and says why', (set, told) => {
    const { status, stderr } = render(set);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(told);
  });

  it.skipIf(!hasScore)('has nothing that kube-score calls critical', () => {
    for (const form of ['embedded', 'pvc', 'image', 'ingress', 'autoscaled']) {
      const values = join(PROJECT, `deploy/test/forms/${form}.yaml`);
      const { stdout: input } = helm(
        ...['template', 'x', CHART, '--skip-tests', '--kube-version', '1.34.4', '--values', values],
      );
      // The image is named by a version, and pulled again where that is another.
      const ignored = ['--ignore-test', 'container-image-pull-policy'];
      const options = { env: environment(), encoding: 'utf8', input } as const;
      const { status, stdout } = spawnSync('kube-score', ['score', ...ignored, '-'], options);
      expect(status, `${form}: ${stdout}`).toBe(0);
    }
  });

  it('leaves the number of replicas to whoever scales', () => {
    expect(render().stdout).toContain('replicas: 2');
    for (const kind of ['hpa', 'keda']) {
      expect(render(`autoscaling.kind=${kind}`).stdout).not.toMatch(/^ {2}replicas:/m);
    }
  });
});
