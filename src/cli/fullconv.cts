#!/usr/bin/env node
/** The entry: CommonJS (what it imports is bundled into it), because of what has to come before the program is loaded. */
import processSetup = require('../process-setup.js');

processSetup.setUpProcess();
void import('./main.js');
