/**
 * The chart on a real cluster of two nodes, under load through HAProxy: nothing that an operator does, and no node's death, may cost a
 * request. The steps follow each other on one cluster. Each prints a row of the table in docs/scale.md.
 */
import { existsSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBalancer, type Balancer } from './balancer.js';
import { cluster, helm, isReady, kubectl, pods, run, until } from './kubernetes.js';
import { faultOf, readPhotos, startLoad, type Load, type LoadReport, type Photo } from './load.js';
import { startAdapter, type Adapter } from './metrics-adapter.js';
import { CHART, PROJECT, RUN, whyNoCluster } from './tools.js';
import { IMAGE, VALUES } from './values.js';

/** Folders with definitions of what others add to Kubernetes, so that their objects are validated too: CLUSTER_DEFINITIONS, or shared ones. */
const DEFINITIONS = (process.env['CLUSTER_DEFINITIONS'] ?? join(PROJECT, '../shared/operate/crds'))
  .split(delimiter)
  .filter((folder) => existsSync(folder));
const MODEL = 'imagenet-efficientnet-lite0';
const FOLDERS = ['../shared/photos', 'test/fixtures/photos'].map((folder) => join(PROJECT, folder));
const ADDRESS = '127.0.0.1:18090';
const CLIENTS = 4;
/** The longest that one answer of a hundred may take, on a machine that does other work too. */
const MOST_P99_MS = 5000;
/** Forms of the chart with objects that others define. */
const DEFINED_BY_OTHERS: Readonly<Record<string, string>> = {
  'keda.yaml': 'scaledobjects.keda.sh',
  'gateway.yaml': 'httproutes.gateway.networking.k8s.io',
  'monitoring.yaml': 'servicemonitors.monitoring.coreos.com',
  'keys.yaml': 'servicemonitors.monitoring.coreos.com',
};
/** A step under load has at least this many answers. */
const LEAST_ANSWERS = 100;

const reason = whyNoCluster();
if (reason !== undefined) process.stderr.write(`NOTICE: the test on a cluster is skipped: ${reason}\n`);

describe.skipIf(reason !== undefined)('on a cluster of two nodes', () => {
  let photos: Photo[] = [];
  let balancer: Balancer | undefined;
  let adapter: Adapter | undefined;
  let installedAt = 0;
  const rows: string[] = [];

  beforeAll(async () => {
    photos = await readPhotos(FOLDERS.find(existsSync)!, MODEL);
    await cluster('down');
    await cluster('up', '2', IMAGE);
    for (const folder of DEFINITIONS) await kubectl('apply', '--server-side', '-f', folder);
    await writeFile(join(RUN, 'values.json'), JSON.stringify(VALUES));
    adapter = await startAdapter();
  });

  afterAll(async () => {
    adapter?.stop();
    await balancer?.stop();
    await cluster('down');
    const head = [
      '| what happened under load | answers | lost or wrong | p50 | p99 | longest |',
      '|---|---:|---:|---:|---:|---:|',
    ];
    const table = [...head, ...rows].join('\n');
    process.stdout.write(`\n${table}\n`);
    const file = process.env['CLUSTER_REPORT'];
    if (file !== undefined) await writeFile(file, `${table}\n`);
  });

  const settings = (more: readonly string[]): string[] => ['--values', join(RUN, 'values.json'), ...more];
  const upgrade = (...more: string[]): Promise<string> => helm('upgrade', 'fullconv', CHART, ...settings(more));
  const waiting = ['--wait', '--timeout', '300s'];
  const readyPods = async (): Promise<number> => (await pods()).filter(isReady).length;
  const untilReady = (count: number): Promise<void> =>
    until(`${count} pods are ready and no other is left`, async () => {
      const all = await pods();
      return all.length === count && all.every(isReady);
    });

  /** What the servers wrote last, besides the requests that went well. */
  const logs = (): Promise<string> =>
    kubectl('logs', '--selector', 'app.kubernetes.io/name=fullconv', '--prefix', '--tail', '2000').then(
      (text) => text.replace(/^.*"status":200.*\n/gm, '').slice(-20_000),
      String,
    );

  function note(what: string, { answers, faults, p50Ms, p99Ms, longestMs }: LoadReport): void {
    const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
    const times = [p50Ms, p99Ms, longestMs].map(seconds).join(' | ');
    rows.push(`| ${what} | ${answers.toLocaleString('en')} | ${faults.length} | ${times} |`);
  }

  /** What happens while clients ask, until they have asked for a while after it. `what` may be told by what happens. */
  async function underLoad(
    what: string,
    happens: (load: Load) => Promise<string | undefined>,
    clients = CLIENTS,
  ): Promise<void> {
    const load = startLoad(balancer!.url, photos, clients);
    let told: string | undefined;
    let report: LoadReport;
    try {
      await until('some answers', () => Promise.resolve(load.count() >= LEAST_ANSWERS / 4));
      told = await happens(load);
      const before = load.count();
      await until('answers afterwards', () => Promise.resolve(load.count() >= before + LEAST_ANSWERS));
    } finally {
      report = await load.stop();
      note(told === undefined ? what : `${what}: ${told}`, report);
    }
    if (report.faults.length > 0) process.stderr.write(await logs());
    expect(report.faults.slice(0, 10)).toEqual([]);
    expect(report.answers).toBeGreaterThanOrEqual(LEAST_ANSWERS);
    expect(report.p99Ms).toBeLessThan(MOST_P99_MS);
  }

  it('every form of the chart is valid for the API server, strictly', async () => {
    const definitions = await kubectl('get', 'customresourcedefinitions', '-o', 'name');
    const folder = join(PROJECT, 'deploy/test/forms');
    const forms = (await readdir(folder)).filter((name) => definitions.includes(DEFINED_BY_OTHERS[name] ?? ''));
    expect(forms.length).toBeGreaterThan(5);
    for (const form of forms) {
      const manifests = await helm('template', 'x', CHART, '--kube-version', '1.34.4', '--values', join(folder, form));
      expect(await validate(manifests), form).toContain('deployment.apps/x-fullconv');
    }
  });

  it('a wrong field is found by that', async () => {
    const manifests = await helm('template', 'x', CHART, '--kube-version', '1.34.4');
    const wrong = manifests.replace('progressDeadlineSeconds', 'progressDeadline');
    await expect(validate(wrong)).rejects.toThrow(/progressDeadline/);
  });

  it("KServe's objects are valid", async ({ skip }) => {
    const definitions = await kubectl('get', 'customresourcedefinitions', '-o', 'name');
    skip(!definitions.includes('servingruntimes.serving.kserve.io'), "nothing defines KServe's objects here");
    for (const name of await readdir(join(PROJECT, 'deploy/kserve'))) {
      await validate(await readFile(join(PROJECT, 'deploy/kserve', name), 'utf8'));
    }
  });

  it('is installed, and answers', async () => {
    installedAt = performance.now();
    const installing = helm('install', 'fullconv', CHART, ...settings(waiting));
    await until('an address', async () => (await pods()).some(isReady));
    const pod = (await pods()).find(isReady)!;
    const photo = photos[0]!;
    const answer = await fetch(`http://${pod.status.podIP}:8080/v1/classify`, { method: 'POST', body: photo.bytes });
    const fault = faultOf(photo, answer.status, await answer.text());
    const seconds = ((performance.now() - installedAt) / 1000).toFixed(1);
    rows.push(`| from \`helm install\` to the first answer: ${seconds} s | 1 | ${fault === undefined ? 0 : 1} | | | |`);
    expect(fault).toBeUndefined();
    await installing;
    balancer = await startBalancer(ADDRESS, 'fullconv');
    await until('an answer through the balancer', async () => (await fetch(`${balancer!.url}/readyz`)).ok);
    const nodes = new Set((await pods()).map(({ spec }) => spec.nodeName));
    expect(nodes.size).toBe(2);
  });

  it('passes helm test', async () => {
    expect(await helm('test', 'fullconv')).toContain('Succeeded');
  });

  it('answers in quiet', () =>
    underLoad('nothing', async () => {
      await sleep(5000);
      return undefined;
    }));

  it('is upgraded, pod by pod', () =>
    underLoad('rolling upgrade', async () => {
      await upgrade(...waiting, '--set', 'podAnnotations.version=two');
      await untilReady(2);
      return undefined;
    }));

  it('stays with the old version where the new one never becomes ready', () =>
    underLoad('a new version that never becomes ready, and `helm rollback`', async () => {
      await upgrade('--set', 'models.default=not-there');
      const failed = async (): Promise<boolean> =>
        (await pods()).some((pod) =>
          (pod.status.containerStatuses ?? []).some(({ restartCount }) => restartCount >= 2),
        );
      await until('the new version fails again and again', failed);
      expect(await readyPods()).toBe(2);
      await helm('rollback', 'fullconv', ...waiting);
      await untilReady(2);
      return undefined;
    }));

  it('is scaled by images in flight, up and down', async () => {
    const auto = { kind: 'hpa', minReplicas: 2, maxReplicas: 4, imagesInFlight: 2, scaleDownSeconds: 15 };
    const set = Object.entries(auto).flatMap(([name, value]) => ['--set', `autoscaling.${name}=${value}`]);
    await upgrade(...waiting, ...set);
    const scaled = async (count: number): Promise<string> => {
      const start = performance.now();
      await until(`${count} replicas`, async () => (await readyPods()) === count);
      return `${((performance.now() - start) / 1000).toFixed(0)} s to ${count}`;
    };
    await underLoad('three times as many clients, HPA', async () => `${await scaled(4)} replicas`, 3 * CLIENTS);
    const fewer = async (): Promise<string> => {
      await upgrade(...set, '--set', 'autoscaling.minReplicas=1');
      return `${await scaled(1)} replica`;
    };
    await underLoad('one client instead, HPA', fewer, 1);
    await upgrade(...waiting);
    await kubectl('scale', 'deployment/fullconv', '--replicas', '2');
    await untilReady(2);
  });

  it('is drained from a node', () =>
    underLoad('`kubectl drain` of a node', async () => {
      await kubectl('drain', 'node1', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout', '300s');
      await untilReady(2);
      expect((await pods()).map(({ spec }) => spec.nodeName)).toEqual(['node2', 'node2']);
      await kubectl('uncordon', 'node1');
      return undefined;
    }));

  it('outlives a node', async () => {
    // One pod each again: to spread them is the scheduler's wish, not its duty.
    const nodes = async (): Promise<number> => new Set((await pods()).map(({ spec }) => spec.nodeName)).size;
    for (let tries = 0; tries < 5 && (await nodes()) < 2; tries++) {
      await kubectl('delete', 'pod', (await pods())[0]!.metadata.name);
      await untilReady(2);
    }
    expect(await nodes()).toBe(2);
    await underLoad("a node's death", async () => {
      const start = performance.now();
      await cluster('kill-node', '2');
      const replaced = async (): Promise<boolean> =>
        (await pods()).filter((pod) => isReady(pod) && pod.spec.nodeName === 'node1').length === 2;
      await until('two pods on the other node', replaced);
      return `${((performance.now() - start) / 1000).toFixed(0)} s to two replicas again`;
    });
  });
});

/** What the API server would do with manifests. Rejects where it, or a field, is wrong. */
function validate(manifests: string): Promise<string> {
  const dry = ['--server-side', '--dry-run=server', '--validate=strict'];
  return run('kubectl', ['apply', ...dry, '-f', '-'], manifests);
}
