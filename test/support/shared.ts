/**
 * The reference data beside the repository (photographs, hard images, trained weights). It is not part of the project:
 * tests that need it are skipped with a notice if it is absent, unless REQUIRE_SHARED is set, as in CI.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../shared', import.meta.url));

export const hasShared = existsSync(ROOT);

if (!hasShared) {
  if (process.env['REQUIRE_SHARED']) throw new Error(`${ROOT} is missing, and REQUIRE_SHARED is set`);
  process.stderr.write(`notice: ${ROOT} is absent; the tests that need it are skipped\n`);
}

/** A path below the reference data. */
export function shared(...parts: string[]): string {
  return join(ROOT, ...parts);
}
