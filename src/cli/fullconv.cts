#!/usr/bin/env node
/**
 * The entry. It is CommonJS, with its imports bundled, because process-setup.ts must run before any ES module loads.
 */
import processSetup = require('../process-setup.js');

const reason = processSetup.whyUnable();
if (reason === undefined) {
  processSetup.setUpProcess();
  void import('./main.js');
} else {
  process.stderr.write(`fullconv: ${reason}\n`);
  // As for a device that fails: exit-code.ts.
  process.exitCode = 3;
}
