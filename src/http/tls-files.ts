/** The certificate and the key that TLS is spoken with, as files say them: PEM, checked to belong together. */
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { UsageError } from '../errors.js';
import { FileRefused, readBounded } from '../regular-files.js';

export interface TlsPaths {
  /** The chain, the server's own certificate first. */
  readonly cert: string;
  readonly key: string;
}

/** Chains have some kilobytes. */
const MAX_BYTES = 2 ** 20;

/** What a server speaks TLS with: 1.2 at least. Throws UsageError, which names the setting and the file, and shows none of it. */
export async function readTlsFiles({ cert, key }: TlsPaths): Promise<SecureContextOptions> {
  const options = {
    cert: await read('FULLCONV_TLS_CERT', cert),
    key: await read('FULLCONV_TLS_KEY', key),
    minVersion: 'TLSv1.2',
  } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new UsageError(`FULLCONV_TLS_CERT=${cert} FULLCONV_TLS_KEY=${key}: no certificate and its key (${code})`);
  }
  return options;
}

async function read(setting: string, path: string): Promise<Buffer> {
  return readBounded(path, MAX_BYTES).catch((error: unknown) => {
    const reason =
      error instanceof FileRefused ? error.message : `cannot be read (${(error as NodeJS.ErrnoException).code ?? ''})`;
    throw new UsageError(`${setting}=${path} ${reason}`);
  });
}
