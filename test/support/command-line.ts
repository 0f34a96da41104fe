/** `fullconv` as a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const ENTRY = fileURLToPath(new URL('../../dist/cli/fullconv.cjs', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run it to its end, with one worker unless a test says otherwise. `environment` adds to that of the tests. */
export function runFullconv(environment: Record<string, string>, ...args: string[]): Promise<Ended> {
  return promisify(execFile)(process.execPath, [ENTRY, ...args], {
    env: { FULLCONV_WORKERS: '1', ...process.env, ...environment },
  }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: unknown) => error as Ended,
  );
}
