/**
 * Builds dist/ from src/, in a fraction of a second; types are checked elsewhere (npm run typecheck). The scripts in
 * package.json call it by name: .npmrc turns install scripts off, and with them every pre- and post-script.
 */
const { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs');
const { basename, join } = require('node:path');
const { buildSync } = require('esbuild');

const PAGE = 'src/playground';
const common = { platform: 'node', target: 'node20', logLevel: 'warning' };
const modules = { ...common, format: 'esm', sourcemap: true };

const sources = readdirSync('src', { recursive: true })
  .map((file) => join('src', file))
  .filter((file) => file.endsWith('.ts') && !file.startsWith(PAGE));
buildSync({ ...modules, entryPoints: sources, outbase: 'src', outdir: 'dist' });
buildSync({
  ...common,
  entryPoints: ['src/cli/fullconv.cts'],
  outfile: 'dist/cli/fullconv.cjs',
  format: 'cjs',
  bundle: true,
  external: ['./main.js'],
});
buildPlayground('dist/playground');
// The load tests are not part of the image.
if (existsSync('load')) {
  const entryPoints = Object.fromEntries(
    ['run', 'against', 'start', 'sizes', 'compare', 'plot', 'peers/run'].map((file) => [
      `load-${file.replace('/run', '')}`,
      `load/${file}.ts`,
    ]),
  );
  buildSync({ ...modules, entryPoints, outdir: 'dist', bundle: true, packages: 'external' });
  buildSync({
    ...common,
    entryPoints: ['load/entry.cts'],
    bundle: true,
    outfile: 'dist/load.cjs',
    format: 'cjs',
  });
}

/** The pages: what they refer to, bundled, with a digest in its name; and the pages, referring to that. */
function buildPlayground(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { metafile } = buildSync({
    entryPoints: ['main.ts', 'page.css', 'icon.svg'].map((file) => join(PAGE, file)),
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'warning',
    loader: { '.svg': 'copy', '.jpg': 'file' },
    entryNames: '[name]-[hash]',
    assetNames: '[name]-[hash]',
    publicPath: 'playground',
    metafile: true,
  });
  const built = new Map(
    Object.entries(metafile.outputs).flatMap(([file, { entryPoint, inputs }]) => {
      const source = entryPoint ?? Object.keys(inputs)[0];
      return source === undefined ? [] : [[basename(source), basename(file)]];
    }),
  );
  for (const file of ['index.html', 'docs.html']) {
    const page = readFileSync(join(PAGE, file), 'utf8').replace(
      /(?<=(?:href|src)=")(main\.ts|page\.css|icon\.svg)(?=")/g,
      (name) => `playground/${built.get(name)}`,
    );
    writeFileSync(join(folder, file), page);
  }
}
