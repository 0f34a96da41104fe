/**
 * Files that may change while the server runs: keys, certificates. What they hold is looked at again when size, times or inode
 * of one have changed, a second later at most. Where the new content is no good, the old one stays in force.
 */
import { stat } from 'node:fs/promises';

export interface LiveFiles {
  /** Whether what the files hold now is in force. */
  readonly isCurrent: boolean;
  /** Look at them no more. */
  close(): void;
}

export interface LiveOptions<T> {
  readonly paths: readonly string[];
  /** Rejects if what the files hold is no good; the message says why. */
  readonly read: () => Promise<T>;
  /** What the files hold now. Called for what they hold first, too. Throws as `read` does. */
  readonly use: (content: T) => void;
  /** Once for each change. */
  readonly onBroken: (error: unknown) => void;
}

const CHECK_MS = 1000;

/** Read the files, use what they hold, and go on looking at them. Rejects as `read` does for what they hold first. */
export async function openLiveFiles<T>({ paths, read, use, onBroken }: LiveOptions<T>): Promise<LiveFiles> {
  // Before the read: what changes meanwhile is seen later.
  let seen = await stampsOf(paths);
  use(await read());
  let isCurrent = true;
  let isChecking = false;

  async function check(): Promise<void> {
    const now = await stampsOf(paths);
    if (now === seen) return;
    seen = now;
    try {
      use(await read());
      isCurrent = true;
    } catch (error) {
      isCurrent = false;
      onBroken(error);
    }
  }

  const timer = setInterval(() => {
    if (isChecking) return;
    isChecking = true;
    void check().finally(() => (isChecking = false));
  }, CHECK_MS).unref();
  return {
    get isCurrent() {
      return isCurrent;
    },
    close: () => clearInterval(timer),
  };
}

async function stampsOf(paths: readonly string[]): Promise<string> {
  const stamps = paths.map((path) =>
    stat(path, { bigint: true }).then(
      ({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
      (error: unknown) => (error as NodeJS.ErrnoException).code ?? '',
    ),
  );
  return (await Promise.all(stamps)).join('\n');
}
