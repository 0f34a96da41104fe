/** The health checks of the Dockerfile, run as a container would, against servers of both languages. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const CHECKS = [...read('Dockerfile').matchAll(/^HEALTHCHECK .*\\\n +CMD (\[.*\])$/gm)].map(
  ([, command]) => JSON.parse(command!) as [string, ...string[]],
);
const [cert, key] = ['cert', 'key'].map((part) => read(`test/fixtures/tls/first.${part}.pem`));

it.each([
  ['plain HTTP', undefined],
  ['plain HTTP, the certificate being empty', ''],
  ['TLS, whatever name its certificate is for', '/etc/fullconv/tls.crt'],
])('of a server of %s tell whether it is ready', async (_, certificate) => {
  expect(CHECKS).toHaveLength(2);
  let status = 200;
  const answer: RequestListener = ({ url }, response) => response.writeHead(url === '/readyz' ? status : 404).end();
  const isTls = certificate !== undefined && certificate !== '';
  const server = isTls ? createTlsServer({ cert, key }, answer) : createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const environment = certificate === undefined ? {} : { FULLCONV_TLS_CERT: certificate };

  const exitCode = async ([, ...args]: readonly string[]): Promise<unknown> => {
    const env = { ...process.env, ...environment, PORT: String(port) };
    const [code] = (await once(spawn(process.execPath, args, { env, stdio: 'ignore' }), 'exit')) as [unknown];
    return code;
  };
  try {
    for (const check of new Map(CHECKS.map((command) => [command.join(' '), command])).values()) {
      status = 200;
      expect(await exitCode(check)).toBe(0);
      status = 503;
      expect(await exitCode(check)).toBe(1);
    }
  } finally {
    server.close();
    await once(server, 'close');
  }
  expect(await exitCode(CHECKS[0]!)).toBe(1);
});
