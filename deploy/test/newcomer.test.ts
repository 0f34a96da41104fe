/**
 * The first steps of docs/scale.md as they are written there, on an empty cluster, with a real image: CLUSTER_IMAGE is the archive that
 * deploy/image/build.sh has made. Pods mount nothing of the host. Prints how long each step took.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, cluster, isReady, kubectl, pods, run, type Pod } from './kubernetes.js';
import { startKServe, whyNoKServe } from './kserve.js';
import { ARCHIVE, PROJECT, RUN, whyNoCluster } from './tools.js';

const GUIDE = join(PROJECT, 'docs/scale.md');
const PHOTO = join(PROJECT, 'test/fixtures/photos/coffee.png');
const ESPRESSO = 967;
const MODEL = 'imagenet-efficientnet-lite0';

const reason =
  whyNoCluster() ??
  (ARCHIVE !== undefined && existsSync(ARCHIVE) ? undefined : 'CLUSTER_IMAGE is no archive; see docs/scale.md');
if (reason !== undefined) process.stderr.write(`NOTICE: the newcomer's test is skipped: ${reason}\n`);

/** The commands of docs/scale.md that stand below a heading and contain a text. */
async function commands(heading: string, text: string): Promise<string> {
  const section = (await readFile(GUIDE, 'utf8')).split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const blocks = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
  const block = blocks.find((each) => each.includes(text));
  if (block === undefined) throw new Error(`${heading} has no commands with ${text}`);
  return block;
}

describe.skipIf(reason !== undefined)('a newcomer', () => {
  const rows: string[] = [];
  const folder = join(RUN, 'newcomer');
  let stopKServe: (() => void) | undefined;

  async function timed<T>(what: string, step: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await step();
    rows.push(`| ${what} | ${((performance.now() - start) / 1000).toFixed(1)} s |`);
    return result;
  }
  /** Each line in the newcomer's shell, where the root of the repository is the folder. */
  const type = (lines: string): Promise<string> => run('bash', ['-euo', 'pipefail', '-c', lines]);

  beforeAll(async () => {
    await cluster('down');
    await timed('a cluster of two nodes, the image imported into both', () => cluster('up', '2', ARCHIVE!));
    await mkdir(folder);
  });

  afterAll(async () => {
    stopKServe?.();
    await cluster('down');
    await rm(join(PROJECT, 'heatmap.png'), { force: true });
    process.stdout.write(`\n${['| step | time |', '|---|---:|', ...rows].join('\n')}\n`);
  });

  it('comes from an empty cluster to a heatmap', async () => {
    const lines = (await commands('From an empty cluster to a heatmap', 'helm install')).trim().split('\n');
    // A background job must end with its shell, which otherwise is waited for.
    const forwarding = lines.findIndex((line) => line.endsWith('&'));
    for (const line of lines.slice(0, forwarding)) await timed(`\`${line.split(' --')[0]!}\``, () => type(line));
    const rest = ["trap 'kill $!' EXIT", ...lines.slice(forwarding)].join('\n');
    await timed('`kubectl port-forward` and `curl`', () => type(rest));
    const heatmap = await readFile(join(PROJECT, 'heatmap.png'));
    expect(heatmap.subarray(1, 4).toString()).toBe('PNG');
    await cp(join(PROJECT, 'heatmap.png'), process.env['CLUSTER_HEATMAP'] ?? join(folder, 'heatmap.png'));
  });

  it('runs two replicas on two nodes, as nobody, with nothing of the host', async () => {
    const all = await pods();
    expect(all.filter(isReady).map(({ spec }) => spec.nodeName)).toHaveLength(2);
    expect(new Set(all.map(({ spec }) => spec.nodeName)).size).toBe(2);
    for (const { metadata } of all) {
      const pod = JSON.parse(await kubectl('get', 'pod', metadata.name, '--output', 'json')) as {
        readonly spec: {
          readonly volumes: readonly Record<string, unknown>[];
          readonly containers: readonly { readonly securityContext: Record<string, unknown> }[];
        };
      };
      expect(pod.spec.volumes.map((volume) => Object.keys(volume).sort())).toEqual([['emptyDir', 'name']]);
      expect(pod.spec.containers[0]!.securityContext).toMatchObject({ readOnlyRootFilesystem: true });
      expect((await kubectl('exec', metadata.name, '--', 'id', '-u')).trim()).toBe('10001');
    }
  });

  describe('with KServe', () => {
    const why = whyNoKServe();
    if (why !== undefined) process.stderr.write(`NOTICE: KServe is not tested: ${why}\n`);

    it.skipIf(why !== undefined)('gets an answer from an InferenceService of the Standard mode', async () => {
      await run('helm', ['uninstall', 'fullconv', '--wait']);
      await cp(join(PROJECT, 'models', MODEL), join(folder, 'models/production'), { recursive: true });
      await run('kubectl', ['apply', '--filename', '-'], volume(join(folder, 'models')));
      stopKServe = await timed("KServe's controller and its definitions", startKServe);
      await timed('`kubectl apply` and `kubectl wait` for the InferenceService', async () =>
        type(await commands('KServe', 'kubectl wait')),
      );
      const selector = encodeURIComponent('serving.kserve.io/inferenceservice=flowers');
      const { items } = await ask<{ items: Pod[] }>(`/api/v1/namespaces/default/pods?labelSelector=${selector}`);
      const ready = items.filter(isReady);
      expect(ready.length).toBeGreaterThan(0);
      const server = `http://${ready[0]!.status.podIP}:8080`;
      const image = await readFile(PHOTO);
      const data = { data: [image.toString('base64')], parameters: { content_type: 'base64' } };
      const body = JSON.stringify({
        inputs: [{ name: 'image', datatype: 'BYTES', shape: [1], ...data }],
        outputs: [{ name: 'scores', parameters: { classification: 1 } }],
      });
      const answer = await fetch(`${server}/v2/models/flowers/infer`, { method: 'POST', body });
      expect(await answer.text()).toContain(`:${ESPRESSO}:`);
      const drawn = await fetch(`${server}/v1/heatmap?class=espresso`, { method: 'POST', body: image });
      expect(drawn.headers.get('content-type')).toBe('image/png');
    });
  });
});

/** A claim `models` for a folder of the host, which stands for a cluster's storage. */
function volume(path: string): string {
  const size = { storage: '1Gi' };
  const both = { accessModes: ['ReadOnlyMany'], storageClassName: '' };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'models' },
        spec: { ...both, capacity: size, hostPath: { path } },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'models' },
        spec: { ...both, resources: { requests: size }, volumeName: 'models' },
      },
    ],
  });
}
