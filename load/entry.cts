/** The entry of the load test: its engine and its decoders by themselves run in a process like the server's. */
import processSetup = require('../src/process-setup.js');

processSetup.setUpProcess();
// run.ts, as the build names it.
const program = './load-run.js';
void import(program);
