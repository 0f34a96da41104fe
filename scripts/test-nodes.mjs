/**
 * Runs the tests on the other versions of Node that package.json promises ("engines"):
 *
 *     npm run test:nodes                          all tests, on each version but the one that runs this
 *     npm run test:nodes -- 24                    all tests on the newest 24
 *     npm run test:nodes -- 22.13.0 test/unit     some files on 22.13.0
 *     npm run test:nodes -- --project=fast*       what `npm run test:fast` runs
 *
 * All arguments from the first that does not begin with a digit go to vitest. The binaries are npm packages without
 * install scripts and stay in .cache/nodes. Remove that folder to get the newest ones.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';

const [platform, suffix] = process.platform === 'win32' ? ['win', '.exe'] : [process.platform, ''];
const PACKAGE = `node-${platform}-${process.arch}`;
const VITEST = 'node_modules/vitest/vitest.mjs';

/** Each version as it was asked for has a folder of its own: in a common one, npm would replace one by the other. */
function fetchNode(version) {
  const folder = join('.cache', 'nodes', version);
  const file = resolve(folder, 'node_modules', PACKAGE, 'bin', `node${suffix}`);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const wanted = ['install', '--no-save', '--no-package-lock', '--ignore-scripts', '--prefix', folder];
    run('npm', [...wanted, `${PACKAGE}@${version}`], process.env);
  }
  if (!existsSync(file)) throw new Error(`${PACKAGE}@${version} could not be installed from npm`);
  return file;
}

function run(command, args, env) {
  const { status, error } = spawnSync(command, args, {
    env,
    stdio: 'inherit',
    shell: command === 'npm' && suffix !== '',
  });
  if (error !== undefined) throw error;
  return status === 0;
}

/** The major versions of `^20.19.0 || ^22.13.0`, without the one that runs this. */
function otherVersions() {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));
  const promised = [...engines.node.matchAll(/\^(\d+)/g)].map(([, major]) => major);
  return promised.filter((major) => major !== process.versions.node.split('.')[0]);
}

const args = process.argv.slice(2);
const firstOther = args.findIndex((arg) => !/^\d/.test(arg));
const named = firstOther < 0 ? args : args.slice(0, firstOther);
const forVitest = firstOther < 0 ? [] : args.slice(firstOther);

const failed = (named.length > 0 ? named : otherVersions()).filter((version) => {
  const node = fetchNode(version);
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  console.log(`\n== Node ${stdout.trim()}`);
  return !run(node, [VITEST, 'run', ...forVitest], {
    ...process.env,
    PATH: [dirname(node), process.env.PATH].join(delimiter),
  });
});
if (failed.length > 0) {
  console.error(`\nthe tests failed on Node ${failed.join(' and ')}`);
  process.exitCode = 1;
}
