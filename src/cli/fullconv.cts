#!/usr/bin/env node
/**
 * The entry. It is CommonJS, with its imports bundled, because process-setup.ts must run before any ES module loads.
 */
import processSetup = require('../process-setup.js');

processSetup.setUpProcess();
void import('./main.js');
