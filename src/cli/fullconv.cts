#!/usr/bin/env node
/**
 * The entry. libuv reads UV_THREADPOOL_SIZE when its first thread starts, which loading an ES module already does; so
 * this file is CommonJS (what it imports is bundled into it), sets it, and only then loads the program. sharp decodes on
 * these threads.
 */
import cores = require('../cores.js');
import v8 = require('node:v8');

process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * cores.coreCount() + 2));
/*
 * Photographs come and go outside of JavaScript's heap, where its collector counts them, but can only free them by
 * marking the heap. A heap as small as ours would be marked several times a second; it may grow by what V8 allows at
 * most, four times what is alive, before it is.
 */
v8.setFlagsFromString('--heap-growing-percent=300');
void import('./main.js');
