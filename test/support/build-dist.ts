/** Set-up of every run of tests, also of a single file, and of every run again while vitest watches: builds dist/. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

export default function setup(project: TestProject): void {
  buildDist();
  project.onTestsRerun(buildDist);
}

/** In a fraction of a second; throws with what esbuild says of sources that it cannot read. */
function buildDist(): void {
  execFileSync(process.execPath, ['scripts/build.cjs'], { cwd: REPOSITORY, stdio: ['ignore', 'inherit', 'inherit'] });
}
