/** A copy of the sources, to be changed and built without a trace in the repository. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** Make the copy. Returns its folder, which the caller removes. */
export async function copySources(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'fullconv-sources-'));
  for (const path of ['src', 'package.json', 'tsconfig.json'])
    await cp(join(REPOSITORY, path), join(copy, path), { recursive: true });
  await symlink(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Build its dist/. Rejects with the build's messages. */
export async function buildCopy(copy: string): Promise<void> {
  await promisify(execFile)(process.execPath, [join(REPOSITORY, 'scripts/build.cjs')], { cwd: copy });
}
