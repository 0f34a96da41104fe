/**
 * The entry of a process that tries one device. Its arguments name an engine and a device. It runs the probe net there
 * and on one core of the CPU, and sends a ProbeReply to its parent (probe-device.ts). If the process dies first, its
 * exit code or signal is the answer.
 */
import { expectTensor } from '../tensor.js';
import type { Device } from '../device.js';
import type { EngineDescription } from './engine-description.js';
import { DEFAULT_ENGINE, engineNamed, type EngineName } from './engines.js';
import { parseDevices } from './parse-devices.js';
import { PROBE_OUTPUT, probeFeeds, probeModel } from './probe-net.js';
import type { ProbeReply } from './probe-device.js';

/** Timed runs after an untimed one; fewer if they are slow. */
const RUNS = 3;
const LONG_ENOUGH_MS = 400;

// The parent ends this process once it has the answer. If the parent has died, this process must end itself.
process.on('disconnect', () => process.exit());

const [engine, name] = process.argv.slice(2) as [EngineName, string];
const devices = parseDevices([name]);
const [device] = devices === 'auto' ? [] : devices;
if (device === undefined) throw new Error('probe-process.js takes the names of an engine and a device');
process.send?.(await compare(device).catch((error: unknown): ProbeReply => ({ failure: (error as Error).message })));

async function compare(device: Device): Promise<ProbeReply> {
  const model = probeModel();
  const there = await measure(engineNamed(engine), device, model);
  const here = await measure(DEFAULT_ENGINE, { kind: 'cpu', index: 0 }, model);
  const largest = Math.max(...here.features.map(Math.abs));
  const deviation =
    Math.max(...here.features.map((value, index) => Math.abs(value - there.features[index]!))) / largest;
  return { runMs: there.runMs, coreMs: here.runMs, deviation };
}

async function measure(
  engine: EngineDescription,
  device: Device,
  model: Uint8Array,
): Promise<{ features: Float32Array; runMs: number }> {
  const session = await (await engine.load({ device, threads: 1 })).open({ id: 'probe', model });
  const run = async (): Promise<Float32Array> =>
    expectTensor(await session.run(probeFeeds()), PROBE_OUTPUT, 'float32').data;
  const features = await run();
  const times: number[] = [];
  const end = performance.now() + LONG_ENOUGH_MS;
  while (times.length < RUNS && (times.length === 0 || performance.now() < end)) {
    const feeds = probeFeeds();
    const start = performance.now();
    await session.run(feeds);
    times.push(performance.now() - start);
  }
  await session.release();
  return { features, runMs: Math.min(...times) };
}
