/**
 * The custom metrics API of Kubernetes over the servers' own /metrics: what prometheus-adapter does with Prometheus between, as small as a
 * test needs it. One metric of pods, fullconv_images_in_flight.
 *
 * Source: k8s.io/metrics, pkg/apis/custom_metrics/v1beta2.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { parseMetrics } from '../../load/server-metrics.js';
import { HOST, isReady, pods, run, type Pod } from './kubernetes.js';
import { RUN } from './tools.js';

const PORT = 16500;
const GROUP = 'custom.metrics.k8s.io';
const VERSION = 'v1beta2';
const METRIC = 'fullconv_images_in_flight';

export interface Adapter {
  stop(): void;
}

/** Serves the API, and registers it with the API server. */
export async function startAdapter(): Promise<Adapter> {
  const [key, certificate] = [join(RUN, 'adapter.key'), join(RUN, 'adapter.crt')];
  const subject = ['-subj', '/CN=adapter', '-addext', `subjectAltName=IP:${HOST}`];
  const files = ['-keyout', key, '-out', certificate];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files]);
  const server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (request, response) => {
    answer(request.url ?? '')
      .then((body) => {
        response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body ?? NOT_FOUND));
      })
      .catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(PORT, HOST, resolve));
  await run('kubectl', ['apply', '-f', '-'], JSON.stringify(REGISTRATION));
  return {
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(url: string): Promise<object | undefined> {
  // The API server writes * as %2A.
  const path = decodeURIComponent(url.split('?')[0]!);
  const groupVersion = `${GROUP}/${VERSION}`;
  if (path === `/apis/${groupVersion}`) {
    const resource = {
      name: `pods/${METRIC}`,
      singularName: '',
      namespaced: true,
      kind: 'MetricValueList',
      verbs: ['get'],
    };
    return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: [resource] };
  }
  if (path !== `/apis/${groupVersion}/namespaces/default/pods/*/${METRIC}`) return undefined;
  const items = await Promise.all((await pods()).filter(isReady).map(valueOf));
  return { kind: 'MetricValueList', apiVersion: groupVersion, metadata: {}, items };
}

async function valueOf({ metadata: { name, namespace }, status }: Pod): Promise<object> {
  const text = await (await fetch(`http://${status.podIP}:8080/metrics`)).text();
  const { value = 0 } = parseMetrics(text).find((series) => series.name === METRIC) ?? {};
  return {
    describedObject: { kind: 'Pod', apiVersion: '/v1', namespace, name },
    metric: { name: METRIC },
    timestamp: new Date().toISOString(),
    value: String(value),
  };
}

const NOT_FOUND = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 };

/** A service without a selector, whose only endpoint is this program. */
const REGISTRATION = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'metrics-adapter', namespace: 'kube-system' },
      spec: { ports: [{ name: 'https', port: 443, targetPort: PORT }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'metrics-adapter', namespace: 'kube-system' },
      subsets: [{ addresses: [{ ip: HOST }], ports: [{ name: 'https', port: PORT }] }],
    },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: `${VERSION}.${GROUP}` },
      spec: {
        ...{ group: GROUP, version: VERSION, groupPriorityMinimum: 100, versionPriority: 100 },
        insecureSkipTLSVerify: true,
        service: { namespace: 'kube-system', name: 'metrics-adapter', port: 443 },
      },
    },
  ],
};
