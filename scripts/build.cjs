/**
 * Builds dist/ from src/, in a fraction of a second; types are checked elsewhere (npm run typecheck). The scripts in
 * package.json call it by name: .npmrc turns install scripts off, and with them every pre- and post-script.
 *
 * A file that is as it should be is not touched, and the others are replaced at once: whatever runs from dist/ meanwhile
 * never reads half a file. What no source makes any more is removed.
 */
const {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const { basename, dirname, join, resolve } = require('node:path');
const { buildSync } = require('esbuild');

const PAGE = 'src/playground';
const common = { platform: 'node', target: 'node20', logLevel: 'warning' };
/** Of every file in dist/ that there is to be. */
const paths = new Set();
const modules = { ...common, format: 'esm', sourcemap: true };

const sources = readdirSync('src', { recursive: true })
  .map((file) => join('src', file))
  .filter((file) => file.endsWith('.ts') && !file.startsWith(PAGE));
build({ ...modules, entryPoints: sources, outbase: 'src', outdir: 'dist' });
build({
  ...common,
  entryPoints: ['src/cli/fullconv.cts'],
  outfile: 'dist/cli/fullconv.cjs',
  format: 'cjs',
  bundle: true,
  external: ['./main.js'],
});
buildPlayground('dist/playground');
/** `npm start` builds only what it runs. */
const isForServer = process.argv[2] === 'server';
// The load tests are not part of the image.
if (!isForServer && existsSync('load')) {
  const entryPoints = Object.fromEntries(
    ['run', 'against', 'start', 'sizes', 'decode-cost', 'decode-once', 'compare', 'plot', 'peers/run'].map((file) => [
      `load-${file.replace('/run', '')}`,
      `load/${file}.ts`,
    ]),
  );
  build({ ...modules, entryPoints, outdir: 'dist', bundle: true, packages: 'external' });
  build({
    ...common,
    entryPoints: ['load/entry.cts'],
    bundle: true,
    outfile: 'dist/load.cjs',
    format: 'cjs',
  });
}

if (!isForServer) removeOthers();

function build(options) {
  const result = buildSync({ ...options, write: false });
  for (const { path, contents } of result.outputFiles) place(path, contents);
  return result;
}

function place(path, contents) {
  paths.add(path);
  const bytes = Buffer.from(contents);
  if (existsSync(path) && readFileSync(path).equals(bytes)) return;
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}.tmp`;
  writeFileSync(unfinished, bytes);
  if (bytes.subarray(0, 2).toString() === '#!') chmodSync(unfinished, 0o755);
  renameSync(unfinished, path);
}

/** All but the declarations, which tsc writes (npm run build), and what another build is about to put in its place. */
function removeOthers() {
  for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
    const path = resolve(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && !paths.has(path) && !/\.(d\.ts|tmp)$/.test(path)) rmSync(path, { force: true });
  }
}

/** The pages: what they refer to, bundled, with a digest in its name; and the pages, referring to that. */
function buildPlayground(folder) {
  const { metafile } = build({
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
    place(resolve(folder, file), page);
  }
}
