/**
 * The keys and the certificate of the files that the settings name, followed while the server runs: what changes is in force a second
 * later, what is broken leaves the old in force, and log and metrics say so.
 */
import type { SecureContextOptions, Server as TlsServer } from 'node:tls';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.js';
import { UsageError } from '../errors.js';
import { openKeyring, type OpenKeyring } from '../keys/open-keyring.js';
import { openLiveFiles } from '../live-files.js';
import type { Metrics } from './metrics.js';
import { readTlsFiles, type TlsPaths } from './tls-files.js';

/** Undefined for plain HTTP. Throws UsageError for one without the other. */
export function tlsPaths({ tlsCert: cert, tlsKey: key }: Config): TlsPaths | undefined {
  if (cert === '' && key === '') return undefined;
  if (cert === '' || key === '') throw new UsageError('FULLCONV_TLS_CERT and FULLCONV_TLS_KEY need each other');
  return { cert, key };
}

/** A certificate that follows its files. */
export interface LiveCertificate {
  readonly content: SecureContextOptions;
  /** Let a server have each newer one, for connections that come then. */
  follow(server: TlsServer): void;
  close(): void;
}

/** The certificate that TLS is spoken with; undefined for plain HTTP. Throws UsageError for files that are no good. */
export async function openTls(
  config: Config,
  metrics: Metrics,
  logger: FastifyBaseLogger | false,
): Promise<LiveCertificate | undefined> {
  const paths = tlsPaths(config);
  if (paths === undefined) return undefined;
  const log = logger === false ? undefined : logger;
  let content: SecureContextOptions = {};
  let server: TlsServer | undefined;
  const files = await openLiveFiles({
    paths: [paths.cert, paths.key],
    read: () => readTlsFiles(paths),
    use(next) {
      content = next;
      server?.setSecureContext(next);
      if (server !== undefined) log?.info('the certificate has changed');
    },
    onBroken: (error) =>
      log?.error({ reason: (error as Error).message }, 'the new certificate is no good: the old one stays'),
  });
  metrics.watchTls(() => files.isCurrent);
  return {
    content,
    follow(listening) {
      server = listening;
      // It may be another by now.
      server.setSecureContext(content);
    },
    close: () => files.close(),
  };
}

/** The keys that are asked for; undefined if none are. Throws UsageError for a file that is no good. */
export async function openKeys(
  { keys }: Pick<Config, 'keys'>,
  metrics: Metrics,
  logger: FastifyBaseLogger | false,
): Promise<OpenKeyring | undefined> {
  if (keys === '') return undefined;
  const log = logger === false ? undefined : logger;
  const open = await openKeyring(keys, {
    onChange: (changes) => log?.info({ audit: true, action: 'keys', by: 'file', result: 'done', ...changes }, 'audit'),
    onBroken(error) {
      const reason = (error as Error).message;
      log?.info({ audit: true, action: 'keys', by: 'file', result: 'refused', reason }, 'audit');
      log?.error({ reason }, 'the keys file is no good: the keys stay as they were');
    },
  });
  metrics.watchKeys(() => open.file.isCurrent);
  return open;
}
