/** Set-up of every test run, also of a single file and of each rerun while vitest watches: builds dist/. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

export default function setup(project: TestProject): void {
  buildDist();
  project.onTestsRerun(buildDist);
}

/** Takes a fraction of a second. Throws if esbuild cannot read the sources; its messages go to the standard error. */
function buildDist(): void {
  execFileSync(process.execPath, ['scripts/build.cjs'], { cwd: REPOSITORY, stdio: ['ignore', 'inherit', 'inherit'] });
}
