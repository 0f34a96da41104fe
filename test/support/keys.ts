/** Keys files for tests, in folders of their own. */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addKey, type NewKey } from '../../src/keys/edit-keys.js';

/** The path of a keys file that does not exist yet. */
export async function newKeysFile(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), 'fullconv-keys-')), 'keys.json');
}

/** Add keys to a file, and return their texts by name. */
export async function addKeys<Name extends string>(
  path: string,
  keys: Readonly<Record<Name, Omit<NewKey, 'name'>>>,
): Promise<Record<Name, string>> {
  const texts: [string, string][] = [];
  for (const [name, key] of Object.entries(keys) as [Name, Omit<NewKey, 'name'>][]) {
    texts.push([name, await addKey(path, { name, ...key })]);
  }
  return Object.fromEntries(texts) as Record<Name, string>;
}
