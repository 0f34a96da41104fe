/**
 * Builds dist/ from src/, in a fraction of a second. `npm run typecheck` checks the types. The scripts in package.json
 * call this file by name, because .npmrc turns off install scripts and with them every pre- and post-script.
 *
 * A file that is as it should be is not touched. The others are replaced by a rename, so that a program that runs from
 * dist/ meanwhile never reads half a file. Files that no source makes any more are removed.
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
/** The paths of all files that belong in dist/. */
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
// The container image has no load tests.
if (!isForServer && existsSync('load')) {
  const entryPoints = Object.fromEntries(
    [
      'run',
      'against',
      'start',
      'sizes',
      'decode-cost',
      'decode-once',
      'compare',
      'plot',
      'peers/run',
      'chaos/run',
      'allocators',
      'keys',
      'messages',
      'overload',
      'cached',
      'protocols',
      'reloads',
      'decode-steps',
      'decode-round',
      'dashboard',
      'replicas',
      'traces',
    ].map((file) => [`load-${file.replace('/run', '')}`, `load/${file}.ts`]),
  );
  buildBesideSources(entryPoints, 'dist');
  // Its threads load no more than the reader that they fuzz.
  build({
    ...modules,
    entryPoints: ['load/fuzz/run.ts', 'load/fuzz/inside.ts'],
    outdir: 'dist/load-fuzz',
    bundle: true,
    splitting: true,
    packages: 'external',
  });
  buildBesideSources(
    ['pack', 'run', 'step', 'client', 'fronts-server', 'hollow-process'].map((file) => `load/gpu/${file}.ts`),
    'dist/load-gpu',
  );
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

/**
 * Builds programs of load/ that import the modules of src/ where they are in dist/: a module that starts a process finds its file
 * beside itself.
 */
function buildBesideSources(entryPoints, outdir) {
  const result = buildSync({
    ...{ ...modules, entryPoints, outdir, write: false },
    ...{ bundle: true, splitting: outdir !== 'dist', packages: 'external' },
    external: ['../src/*', '../../src/*', '../../../src/*'],
  });
  const sources = outdir === 'dist' ? './' : '../';
  for (const { path, contents } of result.outputFiles) {
    const text = Buffer.from(contents).toString();
    place(path, path.endsWith('.js') ? text.replace(/"(?:\.\.\/)+src\//g, `"${sources}`) : text);
  }
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

/**
 * Removes the files of earlier builds. The declarations, which tsc writes (npm run build), and unfinished files of
 * another build stay.
 */
function removeOthers() {
  for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
    const path = resolve(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && !paths.has(path) && !/\.(d\.ts|tmp)$/.test(path)) rmSync(path, { force: true });
  }
}

/**
 * Builds the pages: bundles the files that they refer to, with a digest in each name, and puts these names into the
 * pages.
 */
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
