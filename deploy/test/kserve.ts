/**
 * KServe's controller as a process of the host, with its definitions, its settings and its webhooks, for the Standard mode: no Knative,
 * no Istio. cluster/build.sh builds it, and copies its files to TOOLS/kserve.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HOST, kubectl, run, until } from './kubernetes.js';
import { RUN, TOOLS, environment } from './tools.js';

const PROGRAM = join(TOOLS, 'bin/kserve-manager');
const FILES = join(TOOLS, 'kserve');
const PORT = 9443;

/** What keeps KServe from running here; undefined if nothing does. */
export function whyNoKServe(): string | undefined {
  return existsSync(PROGRAM) ? undefined : `there is no ${PROGRAM}; see deploy/test/cluster/build.sh`;
}

/** Installs KServe and starts its controller. The function that it resolves to stops it. */
export async function startKServe(): Promise<() => void> {
  await kubectl('apply', '--server-side', '--filename', join(FILES, 'crd'));
  // A definition that is a moment old has no conditions, and kubectl does not wait for them.
  const established = ['wait', '--for', 'condition=Established', '--timeout', '60s', 'crd', '--all'];
  const areEstablished = (): Promise<boolean> =>
    kubectl(...established).then(
      () => true,
      () => false,
    );
  await until('the definitions are established', areEstablished);
  await kubectl('create', 'namespace', 'kserve');
  await kubectl('apply', '--namespace', 'kserve', '--filename', join(FILES, 'configmap/inferenceservice.yaml'));
  const ingress = { ingressDomain: 'example.com', ingressClassName: 'none', disableIstioVirtualHost: true };
  const gateways = { ingressGateway: 'none/none', localGateway: 'none/none', localGatewayService: 'none' };
  const data = {
    deploy: JSON.stringify({ defaultDeploymentMode: 'Standard' }),
    ingress: JSON.stringify({ ...ingress, ...gateways, urlScheme: 'http' }),
  };
  const patch = [
    'patch',
    'configmap',
    'inferenceservice-config',
    '--namespace',
    'kserve',
    '--type',
    'merge',
    '--patch',
  ];
  await kubectl(...patch, JSON.stringify({ data }));

  // The controller reads its certificate from a fixed place below the temporary folder.
  const folder = join(RUN, 'kserve');
  const certificates = join(folder, 'k8s-webhook-server/serving-certs');
  await mkdir(certificates, { recursive: true });
  const pair = ['-keyout', join(certificates, 'tls.key'), '-out', join(certificates, 'tls.crt')];
  const names = ['-subj', '/CN=kserve', '-addext', `subjectAltName=IP:${HOST}`];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-noenc', '-days', '1', ...names, ...pair]);
  const log = await open(join(folder, 'manager.log'), 'w');
  const addresses = ['--metrics-addr', `${HOST}:9444`, '--health-probe-addr', `${HOST}:9445`];
  const manager = spawn(PROGRAM, ['--webhook-port', String(PORT), ...addresses], {
    env: { ...environment(), TMPDIR: folder, POD_NAMESPACE: 'kserve' },
    stdio: ['ignore', log.fd, log.fd],
  });
  await log.close();
  const isReady = (): Promise<boolean> =>
    fetch(`http://${HOST}:9445/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await until("KServe's controller is ready", isReady);

  const authority = await readFile(join(certificates, 'tls.crt'), 'base64');
  await run('kubectl', ['apply', '--filename', '-'], await webhooks(authority));
  return () => void manager.kill();
}

/** The webhooks' registrations, at the host's address instead of a service's. */
async function webhooks(authority: string): Promise<string> {
  const text = await readFile(join(FILES, 'webhook/manifests.yaml'), 'utf8');
  return text.replace(
    /service:\n +name: \S+\n +namespace: \S+\n( +)path: (\S+)/g,
    (_, indent: string, path: string) =>
      `url: https://${HOST}:${PORT}${path}\n${indent.slice(2)}caBundle: ${authority}`,
  );
}
