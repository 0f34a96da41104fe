/**
 * The entry of the load test. Decoding by itself needs as many of libuv's threads as the server has, which are to be
 * set before anything is loaded: see src/cli/fullconv.cts.
 */
import cores = require('../src/cores.js');

process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * cores.coreCount() + 2));
// run.ts, as the build names it.
const program = './load-run.js';
void import(program);
