/**
 * Changes of a keys file. The file appears whole, with the mode and, where that is allowed, the owner that it had; a new one is for
 * its owner alone. A server that reads it sees the old keys or the new ones.
 */
import { realpath, stat } from 'node:fs/promises';
import { UsageError } from '../errors.js';
import { createFile, isTaken, makeWhole } from '../files.js';
import { today } from './calendar.js';
import { formatKey, makeKey } from './key-text.js';
import { checkKeysFile, MAX_KEYS, readKeysFile, type KeyEntry, type KeysFile } from './keys-file.js';
import { hashSecret } from './secret-hash.js';

export interface NewKey extends Pick<KeyEntry, 'name' | 'scopes' | 'quotas'> {
  readonly expires?: string | undefined;
}

const NEW_FILE_MODE = 0o600;

/** Add a key, and return its text, which is kept nowhere. Throws UsageError. */
export async function addKey(path: string, { expires, ...entry }: NewKey): Promise<string> {
  const key = makeKey();
  const hash = await hashSecret(key.secret);
  const created = today();
  await edit(path, (file) => {
    if (file.keys.some(({ name }) => name === entry.name)) {
      throw new UsageError(`${path} has a key "${entry.name}" already; --revoke removes it`);
    }
    if (file.keys.length >= MAX_KEYS) throw new UsageError(`${path} has ${MAX_KEYS} keys, which is the limit`);
    const added = { id: key.id, ...entry, created, ...(expires === undefined ? {} : { expires }), hash };
    return { ...file, keys: [...file.keys, added] };
  });
  return formatKey(key);
}

/** Remove a key by its name. Throws UsageError. */
export async function removeKey(path: string, name: string): Promise<void> {
  if (!(await isTaken(path))) throw new UsageError(`${path} does not exist`);
  await edit(path, (file) => {
    const keys = file.keys.filter((key) => key.name !== name);
    if (keys.length === file.keys.length) throw new UsageError(`${path} has no key "${name}"`);
    return { ...file, keys };
  });
}

async function edit(path: string, change: (file: KeysFile) => KeysFile): Promise<void> {
  const exists = await isTaken(path);
  const target = exists ? await realpath(path) : path;
  const before = exists ? await stat(target, { bigint: true }) : undefined;
  const file = change(exists ? await readKeysFile(path) : { keys: [] });
  checkKeysFile(file, path);
  await makeWhole(target, async (unfinished) => {
    const handle = await createFile(unfinished);
    try {
      await handle.chmod(before === undefined ? NEW_FILE_MODE : Number(before.mode) & 0o777);
      if (before !== undefined) await handle.chown(Number(before.uid), Number(before.gid)).catch(() => undefined);
      await handle.writeFile(JSON.stringify(file, null, 2) + '\n');
      await handle.sync();
    } finally {
      await handle.close();
    }
    const now = await stat(target, { bigint: true }).catch(() => undefined);
    if (now?.ino !== before?.ino || now?.mtimeNs !== before?.mtimeNs) {
      throw new UsageError(`${path} has changed meanwhile; try again`);
    }
  });
}
