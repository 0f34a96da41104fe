/** The cluster that cluster/cluster.sh starts: its programs, and questions to its API server without starting any. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { PROJECT, environment } from './tools.js';

/** The host's address in the cluster's network, and the API server there, as in cluster.sh. */
export const HOST = '10.77.0.1';
const SERVER = `https://${HOST}:16443`;
const TOKEN = 'testing';

const start = promisify(execFile);
const agent = new Agent({ connect: { rejectUnauthorized: false } });

/** The standard output of a program. Rejects with its standard error where it fails. */
export async function run(program: string, args: readonly string[], input?: string): Promise<string> {
  const running = start(program, args, { env: environment(), cwd: PROJECT, maxBuffer: 2 ** 26 });
  running.child.stdin?.end(input ?? '');
  const { stdout } = await running;
  return stdout;
}

export const kubectl = (...args: string[]): Promise<string> => run('kubectl', args);
export const helm = (...args: string[]): Promise<string> => run('helm', args);
export const cluster = (...args: string[]): Promise<string> =>
  run('bash', [join(PROJECT, 'deploy/test/cluster/cluster.sh'), ...args]);

/** What the API server has at a path. */
export async function ask<T>(path: string): Promise<T> {
  const { statusCode, body } = await request(SERVER + path, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${await body.text()}`);
  return (await body.json()) as T;
}

interface List<T> {
  readonly items: readonly T[];
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

/** Pods of the chart, those that end included. */
export async function pods(): Promise<readonly Pod[]> {
  const selector = encodeURIComponent('app.kubernetes.io/name=fullconv');
  return (await ask<List<Pod>>(`/api/v1/namespaces/default/pods?labelSelector=${selector}`)).items;
}

export const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  (status.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True');

interface EndpointSlice {
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions: { readonly ready?: boolean };
  }[];
}

/** Addresses of the service's pods that are ready, as balancers in a cluster learn them. */
export async function readyAddresses(service: string): Promise<ReadonlySet<string>> {
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const path = `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=${selector}`;
  const { items } = await ask<List<EndpointSlice>>(path);
  const ready = items.flatMap(({ endpoints = [] }) => endpoints).filter(({ conditions }) => conditions.ready === true);
  return new Set(ready.flatMap(({ addresses }) => addresses));
}

/** Polls until it is true. Throws when it has not become true in `seconds`. */
export async function until(what: string, isTrue: () => Promise<boolean>, seconds = 180): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`not in ${seconds} s: ${what}`);
    await sleep(250);
  }
}
