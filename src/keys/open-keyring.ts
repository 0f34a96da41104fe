/** The keys of a file as a ring that follows the file. */
import { openLiveFiles, type LiveFiles } from '../live-files.js';
import { Keyring, type KeyChanges } from './keyring.js';
import { readKeysFile } from './keys-file.js';

export interface OpenKeyring {
  readonly keyring: Keyring;
  readonly file: LiveFiles;
}

export interface KeyringEvents {
  /** The file has been read again, and is in force. */
  readonly onChange: (changes: KeyChanges) => void;
  /** The file has changed and is no good: the keys stay as they were. */
  readonly onBroken: (error: unknown) => void;
}

/** Throws KeysFileError if the file is no good at the start. */
export async function openKeyring(path: string, { onChange, onBroken }: KeyringEvents): Promise<OpenKeyring> {
  let keyring: Keyring | undefined;
  const file = await openLiveFiles({
    paths: [path],
    read: () => readKeysFile(path),
    use(content) {
      if (keyring === undefined) keyring = new Keyring(content);
      else onChange(keyring.replace(content));
    },
    onBroken,
  });
  return { keyring: keyring!, file };
}
