/** `fullconv key`: adds a key to the keys file, lists its keys, or revokes one. A server that runs sees it within seconds. */
import type { Config } from '../../config.js';
import { UsageError } from '../../errors.js';
import { addKey, removeKey } from '../../keys/edit-keys.js';
import { readKeysFile, type Scope } from '../../keys/keys-file.js';
import { printRows } from '../local-service.js';

export interface KeyFlags {
  readonly scopes: readonly Scope[];
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly imagesAtOnce?: number;
  readonly costPerMinute?: number;
  /** ISO 8601, with the time. */
  readonly expires?: string;
  readonly revoke?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
}

export async function keyCommand({ keys: path }: Config, name: string | undefined, flags: KeyFlags): Promise<void> {
  if (path === '') throw new UsageError('FULLCONV_KEYS, or --keys, must name the file of keys');
  if (flags.list === true) {
    if (name !== undefined) throw new UsageError('--list lists all keys: it takes no name');
    await listKeys(path, flags.json);
    return;
  }
  if (flags.json === true) throw new UsageError('--json is for --list.');
  if (name === undefined) throw new UsageError('a name is needed, for the log and the metrics');
  if (flags.revoke === true) {
    await removeKey(path, name);
    process.stderr.write(`${path}: "${name}" is revoked\n`);
    return;
  }
  const { scopes, requestsPerSecond, burst, imagesAtOnce, costPerMinute, expires } = flags;
  const given = Object.entries({ requestsPerSecond, burst, imagesAtOnce, costPerMinute });
  const quotas = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  const key = await addKey(path, {
    name,
    scopes: [...scopes],
    ...(Object.keys(quotas).length === 0 ? {} : { quotas }),
    ...(expires === undefined ? {} : { expires }),
  });
  process.stdout.write(`${key}\n`);
  process.stderr.write(`The key is shown this once: ${path} has its hash only.\n`);
}

async function listKeys(path: string, json = false): Promise<void> {
  const { keys, quotas: defaults = {} } = await readKeysFile(path);
  const rows = keys.map(({ id, name, scopes, quotas, created = '', expires = '' }) => {
    const { requestsPerSecond, imagesAtOnce, costPerMinute } = { ...defaults, ...quotas };
    return {
      name,
      id,
      scopes: scopes.join(','),
      'requests/s': requestsPerSecond ?? '',
      'images at once': imagesAtOnce ?? '',
      'GMAC/min': costPerMinute ?? '',
      created,
      expires,
    };
  });
  printRows(rows, json);
}
