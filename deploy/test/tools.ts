/** The programs that the test on a cluster starts, and where they are. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
export const CHART = join(PROJECT, 'deploy/helm/fullconv');

/** What cluster/build.sh has built. */
export const TOOLS =
  process.env['CLUSTER_TOOLS'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fullconv-cluster');
const image = process.env['CLUSTER_IMAGE'];
/** The archive of an image that deploy/image/build.sh has made, of a path from the root of the repository; undefined: none. */
export const ARCHIVE = image === undefined || image === '' ? undefined : resolve(PROJECT, image);
/** The folder of a run of cluster/cluster.sh. */
export const RUN = process.env['CLUSTER_RUN'] ?? join(tmpdir(), 'fullconv-cluster');

const BUILT = [
  ...['helm', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'coredns'],
];
const INSTALLED = ['etcd', 'containerd', 'runc', 'ip', 'nsenter', 'openssl', 'kubectl', 'haproxy'];

/** What keeps the test from running here; undefined if nothing does. */
export function whyNoCluster(): string | undefined {
  if (process.platform !== 'linux') return 'it is for Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  const missing = [...BUILT.filter((name) => !existsSync(join(TOOLS, 'bin', name))), ...INSTALLED.filter(isMissing)];
  return missing.length === 0 ? undefined : `there is no ${missing.join(', ')}; see deploy/test/cluster/build.sh`;
}

function isMissing(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`], { env: environment() }).status !== 0;
}

/** The environment of those programs. */
export function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: `${join(TOOLS, 'bin')}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
    KUBECONFIG: join(RUN, 'kubeconfig'),
    CLUSTER_TOOLS: TOOLS,
    CLUSTER_RUN: RUN,
  };
}
