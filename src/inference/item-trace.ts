/**
 * The spans of one pass: queue until its batch is sent, decode and run in the worker's process. Where their places in
 * time come from other processes, they are held between the moments that this one has seen.
 */
import type { ItemResult, ItemRun, Submission } from '../batching/batcher.js';
import { toLocalTime } from '../machine-clock.js';
import type { Attributes, Failure, RequestTrace, TracedPhase } from '../tracing/request-trace.js';
import { failureOf } from './request-context.js';
import { viewOf } from './statistics.js';
import type { Work, WorkOutput } from './work.js';

/** What the image itself is to blame for. */
const OF_DECODING: readonly Failure[] = ['IMAGE_UNDECODABLE', 'IMAGE_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];

/** Submit an item of a traced request, and record its phases. Rejects as `submit` does, with the phase that failed recorded. */
export async function followItem(
  trace: RequestTrace,
  submission: Submission<Work>,
  submit: (submission: Submission<Work>) => Promise<ItemResult<WorkOutput>>,
): Promise<ItemResult<WorkOutput>> {
  const submittedMs = performance.now();
  let attempts = 0;
  let sentMs: number | undefined;
  const sent = (atMs: number): void => {
    attempts += 1;
    sentMs = atMs;
  };
  const { session, shape } = submission;
  const { model, view } = viewOf(session);
  const facts: Attributes = { 'fullconv.model': model, 'fullconv.view': view, 'fullconv.shape': shape };
  try {
    const result = await submit({ ...submission, trace: { traceId: trace.traceId, sent } });
    recordRun(trace, result, { ...facts, 'fullconv.attempts': attempts > 1 ? attempts : undefined });
    return result;
  } catch (error) {
    const failure = failureOf(error, submission.signal);
    const now = performance.now();
    const queue = { name: 'queue', startMs: submittedMs, attributes: facts } as const;
    if (sentMs === undefined) {
      trace.phase({ ...queue, endMs: now, failure });
    } else {
      const name: TracedPhase['name'] = OF_DECODING.includes(failure) ? 'decode' : 'run';
      trace.phase({ ...queue, endMs: sentMs });
      trace.phase({ name, startMs: sentMs, endMs: now, attributes: facts, failure });
    }
    throw error;
  }
}

function recordRun(trace: RequestTrace, result: ItemResult<WorkOutput>, facts: Attributes): void {
  const { output, queueMs, inferMs, batchSize, run } = result;
  const { sentAtMs } = run;
  const now = performance.now();
  const within = (ms: number): number => Math.min(now, Math.max(sentAtMs, ms));
  const atOf = (machineMs: number | undefined, otherwise: number): number =>
    within(machineMs === undefined ? otherwise : toLocalTime(machineMs));

  const ranMs = atOf(run.ranAtMachineMs, now);
  const startMs = within(ranMs - inferMs);
  trace.phase({ name: 'queue', startMs: sentAtMs - queueMs, endMs: sentAtMs, attributes: facts });
  if (output.decodeMs > 0) {
    const decodedMs = Math.min(startMs, atOf(output.decodedAtMachineMs, sentAtMs + output.decodeMs));
    trace.phase({
      name: 'decode',
      startMs: within(decodedMs - output.decodeMs),
      endMs: decodedMs,
      attributes: { 'fullconv.model': facts['fullconv.model'] },
    });
  }
  trace.phase({ name: 'run', startMs, endMs: ranMs, attributes: { ...facts, ...attributesOf(run, batchSize) } });
}

function attributesOf({ reason, worker }: ItemRun, batchSize: number): Attributes {
  return {
    'fullconv.batch.size': batchSize,
    'fullconv.batch.reason': reason,
    'fullconv.worker': worker?.number,
    'fullconv.device': worker?.device,
  };
}
