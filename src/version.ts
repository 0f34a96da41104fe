/** The version of the package, for `--version`, the OpenAPI document and logs. */
import { createRequire } from 'node:module';

const manifest = createRequire(import.meta.url)('../package.json') as { version: string };

export const VERSION = manifest.version;
