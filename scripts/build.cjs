/**
 * Builds dist/ from src/, in a fraction of a second; types are checked elsewhere (npm run typecheck). The scripts in
 * package.json call it by name: .npmrc turns install scripts off, and with them every pre- and post-script.
 */
const { existsSync } = require('node:fs');
const { buildSync } = require('esbuild');

const common = { platform: 'node', target: 'node20', logLevel: 'warning' };
const modules = { ...common, format: 'esm', sourcemap: true };

buildSync({ ...modules, entryPoints: ['src/**/*.ts'], outdir: 'dist' });
buildSync({ ...common, entryPoints: ['src/cli/fullconv.cts'], outfile: 'dist/cli/fullconv.cjs', format: 'cjs' });
// The load tests are not part of the image.
if (existsSync('load')) {
  const commands = ['run', 'sizes', 'compare', 'plot'];
  const entryPoints = commands.map((command) => `load/${command}.ts`);
  buildSync({ ...modules, entryPoints, outdir: 'dist', entryNames: 'load-[name]', bundle: true, packages: 'external' });
  buildSync({ ...common, entryPoints: ['load/run-with-threads.cts'], outfile: 'dist/load.cjs', format: 'cjs' });
}
