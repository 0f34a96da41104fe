import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import { probeDevice, type Probed } from '../../../src/runtime/probe-device.js';
import type { Device } from '../../../src/device.js';

const PROCESS_FILE = fileURLToPath(new URL('../../../dist/runtime/probe-process.js', import.meta.url));
const CPU: Device = { kind: 'cpu', index: 0 };

describe('trying a device', () => {
  it('runs the probe net on it and on the CPU', async () => {
    const probed = await probeDevice(CPU, onnxruntime, { processFile: PROCESS_FILE });
    expect(probed).toEqual({ runMs: expect.any(Number) as number, coreMs: expect.any(Number) as number });
  });

  it('says what is missing, as the engine says it', async () => {
    const elsewhere: Device = { kind: process.platform === 'win32' ? 'coreml' : 'dml', index: 0 };
    expect(await probeDevice(elsewhere, onnxruntime, { processFile: PROCESS_FILE })).toEqual({
      failure: expect.stringMatching(/does not have it; (dml is for Windows|coreml is for macOS)/) as string,
    });
  });
});

describe('trying a device that misbehaves', () => {
  let folder: string;

  async function probe(script: string, limitMs?: number): Promise<Probed> {
    const file = join(folder, 'process.mjs');
    await writeFile(file, script);
    return probeDevice(CPU, onnxruntime, { processFile: file, limitMs });
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-probe-'));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('survives its crash', async () => {
    expect(await probe(`process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000);`)).toEqual({
      failure: 'its process ended with SIGSEGV',
    });
    expect(await probe('process.exit(7)')).toEqual({ failure: 'its process ended with code 7' });
  });

  it('names the library that its standard error names', async () => {
    const script = `console.error('error: libcudnn.so.9: cannot open shared object file'); process.exit(1)`;
    expect(await probe(script)).toEqual({ failure: expect.stringContaining('libcudnn.so.9 is missing') as string });
  });

  it('ends one that does not answer', async () => {
    expect(await probe('setInterval(() => {}, 1000)', 300)).toEqual({ failure: 'it did not answer within 0.3 s' });
  });

  it('takes an answer from one that would not end', async () => {
    const script = `process.send({ runMs: 1, coreMs: 2, deviation: 0 }); setInterval(() => {}, 1000)`;
    expect(await probe(script)).toEqual({ runMs: 1, coreMs: 2 });
  });

  it.each(['0.2', 'NaN'])('does not trust wrong results: a deviation of %s', async (deviation) => {
    const script = `process.send({ runMs: 1, coreMs: 2, deviation: ${deviation} })`;
    expect(await probe(script)).toEqual({ failure: expect.stringContaining("differ from the CPU's") as string });
  });
});
