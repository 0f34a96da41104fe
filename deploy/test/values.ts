/**
 * The chart's values on the test's cluster. Pods run the image of the archive CLUSTER_IMAGE. Without one they mount Node.js, its
 * libraries and this project from the host.
 */
import { dirname, join } from 'node:path';
import { ARCHIVE, PROJECT, TOOLS } from './tools.js';

/** The archive that the nodes import. */
export const IMAGE = ARCHIVE ?? join(TOOLS, 'images/host.tar');

const MOUNTS = {
  usr: '/usr',
  lib: '/lib',
  lib64: '/lib64',
  fonts: '/etc/fonts',
  node: dirname(process.execPath),
  app: PROJECT,
};
const PLACES: Readonly<Record<string, string>> = { ...MOUNTS, node: '/node', app: '/app' };

const MOUNTED = {
  image: { repository: 'docker.io/local/host', tag: '1' },
  command: ['/node/node', 'dist/cli/fullconv.cjs'],
  extraVolumes: Object.entries(MOUNTS).map(([name, path]) => ({ name, hostPath: { path } })),
  extraVolumeMounts: Object.keys(MOUNTS).map((name) => ({ name, mountPath: PLACES[name], readOnly: true })),
};

export const VALUES = {
  ...(ARCHIVE === undefined ? MOUNTED : { image: { repository: 'registry.example.com/fullconv' } }),
  // The deadline is below the balancer's time for an answer.
  settings: {
    FULLCONV_WORKERS: 1,
    FULLCONV_ENGINE: 'onnxruntime',
    FULLCONV_DEVICE: 'cpu',
    FULLCONV_DEADLINE_MS: 3500,
  },
  // Several replicas share the cores of one machine. Its nodes do not count the bytes on disk.
  resources: {
    requests: { cpu: '100m', memory: '300Mi', 'ephemeral-storage': null },
    limits: { cpu: '2', memory: '1Gi', 'ephemeral-storage': null },
  },
  unreachableSeconds: 5,
  trustedProxies: ['10.77.0.1'],
};
