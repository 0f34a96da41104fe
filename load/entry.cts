/**
 * The entry of the load test. It sets its process up as the server does, because the engine and the decoders alone run
 * in it.
 */
import processSetup = require('../src/process-setup.js');

processSetup.setUpProcess();
// run.ts, as the build names it.
const program = './load-run.js';
void import(program);
