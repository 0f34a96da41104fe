/**
 * The entry of a process that tries one device. Its argument is a ProbeTask. It runs the probe net there
 * and on one core of the CPU, and sends a ProbeReply to its parent (probe-device.ts). If the process dies first, its
 * exit code or signal is the answer.
 */
import type { DeviceKind } from '../device.js';
import { expectTensor } from '../tensor.js';
import { DEFAULT_ENGINE, engineNamed } from './engines.js';
import { PROBE_OUTPUT, probeFeeds, probeModel } from './probe-net.js';
import type { ProbeReply, ProbeTask } from './probe-device.js';
import { leastRunMs } from './run-time.js';
import type { Engine, SessionSpec } from './session.js';

// The parent ends this process once it has the answer. If the parent has died, this process must end itself.
process.on('disconnect', () => process.exit());

const task = JSON.parse(process.argv[2]!) as ProbeTask;
process.send?.(await compare(task).catch((error: unknown): ProbeReply => ({ failure: (error as Error).message })));

async function compare({ engine, device, libraryFolder, mayAutocast }: ProbeTask): Promise<ProbeReply> {
  const model = probeModel();
  const candidate = await engineNamed(engine).load({ device, threads: 1, libraryFolder });
  const autocast = mayAutocast ? candidate.autocast : undefined;
  const there = await measure(candidate, device.kind, { id: 'probe', model, autocast });
  const standard = await DEFAULT_ENGINE.load({ device: { kind: 'cpu', index: 0 }, threads: 1 });
  const here = await measure(standard, 'cpu', { id: 'probe', model });
  const largest = Math.max(...here.features.map(Math.abs));
  const deviation =
    Math.max(...here.features.map((value, index) => Math.abs(value - there.features[index]!))) / largest;
  return { runMs: there.runMs, coreMs: here.runMs, deviation, autocast };
}

async function measure(
  engine: Engine,
  kind: DeviceKind,
  spec: SessionSpec,
): Promise<{ features: Float32Array; runMs: number }> {
  const session = await engine.open(spec);
  const run = async (): Promise<Float32Array> =>
    expectTensor(await session.run(probeFeeds()), PROBE_OUTPUT, 'float32').data;
  // The first run is not timed.
  const features = await run();
  const runMs = await leastRunMs(kind, run);
  await session.release();
  return { features, runMs };
}
