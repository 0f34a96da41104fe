#!/usr/bin/env node
/**
 * The entry. libuv reads UV_THREADPOOL_SIZE when its first thread starts, which loading an ES module already does; so
 * this file is CommonJS, sets it, and only then loads the program. sharp decodes on these threads.
 */
import os = require('node:os');

process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * os.availableParallelism() + 2));
void import('./main.js');
