#!/usr/bin/env node
/**
 * The entry. libuv reads UV_THREADPOOL_SIZE when its first thread starts, which loading an ES module already does; so
 * this file is CommonJS (what it imports is bundled into it), sets it, and only then loads the program. sharp decodes on
 * these threads.
 */
import cores = require('../cores.js');

process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * cores.coreCount() + 2));
void import('./main.js');
