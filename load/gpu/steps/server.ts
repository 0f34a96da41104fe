/** The server end to end: photographs over HTTP, decoded while the device computes, each model on a server of its own. */
import { crowdLoad } from '../crowd.js';
import { deviceMemory } from '../device-memory.js';
import { folderToServe } from '../models.js';
import { howToCompute } from '../numbers.js';
import { partsOf } from '../plan.js';
import { startServer, type RunningServer } from '../../server-process.js';
import { reasonOf, type StepContext } from '../step-task.js';

const SECONDS = 4;
/** Beside the seconds of a load: clients that start, and a ramp. */
const AROUND_S = 1;

export async function measureServer(context: StepContext): Promise<void> {
  const { device, numbers, settings } = context;
  const { engine, kind } = partsOf(device!);
  const how = howToCompute(engine, kind, numbers!);
  if ('cannot' in how) {
    context.skip(how.cannot);
    return;
  }
  const left: string[] = [];
  // The most clients first: that is what the ceilings are held against.
  const loads = settings.clients.toSorted((a, b) => b - a);
  for (const name of settings.models) {
    if (context.left() <= AROUND_S) {
      left.push(name);
      continue;
    }
    try {
      await measureModel(context, name, loads, left);
    } catch (error) {
      context.note(`${name}: ${reasonOf(error)}`);
    }
  }
  if (left.length > 0) context.note(`no time was left for ${left.join(', ')}`);
}

async function measureModel(
  context: StepContext,
  name: string,
  loads: readonly number[],
  left: string[],
): Promise<void> {
  const { device, numbers, settings, places } = context;
  const { kind } = partsOf(device!);
  const { server, served, startSeconds } = await startFor(context, name);
  try {
    for (const [index, clients] of loads.entries()) {
      if (context.left() <= AROUND_S && index > 0) {
        left.push(`${name} with ${clients} clients`);
        continue;
      }
      // A few models share the step.
      const share = context.left() / Math.min(2, settings.models.length) / (loads.length - index) - AROUND_S;
      const seconds = Math.min(SECONDS, Math.max(0.3, share));
      context.begin(`${name}, ${clients} clients`);
      const load = await crowdLoad(server, { model: served, photos: places.photos, clients, seconds });
      const deviceMiB = await deviceMemory();
      const runCost = await runCostOf(server, served);
      context.put({
        ...{ table: 'server', key: `${device} ${numbers} ${name} ${clients}`, device: device!, numbers: numbers! },
        ...{ model: name, clients, ...load, startSeconds },
        ...(runCost !== undefined && { runCost }),
        ...(deviceMiB !== undefined && { deviceMiB }),
      });
    }
  } finally {
    await server.stop().catch((error: unknown) => context.note(`${name} on ${kind}: ${reasonOf(error)}`));
  }
}

export interface StartedFor {
  readonly server: RunningServer;
  /** The model's name there. */
  readonly served: string;
  readonly startSeconds: number;
}

/** A server of one model on the step's device, in its numbers. */
export async function startFor(context: StepContext, name: string): Promise<StartedFor> {
  const { device, numbers, places } = context;
  const { engine, kind } = partsOf(device!);
  const how = howToCompute(engine, kind, numbers!);
  if ('cannot' in how) throw new Error(how.cannot);
  const { folder, served } = await folderToServe(context, name, how.precision);
  context.begin(`the start of a server of ${name}, and its warm-up`);
  const started = performance.now();
  const server = await startServer({
    FULLCONV_ENGINE: engine.name,
    FULLCONV_DEVICE: kind,
    FULLCONV_MODELS: folder,
    FULLCONV_CACHE: places.cache,
    // More clients than the queue takes would measure refusals.
    FULLCONV_MAX_QUEUE: '4096',
  });
  const startSeconds = (performance.now() - started) / 1000;
  const reason = await whyNotReady(server, served);
  if (reason === undefined) return { server, served, startSeconds };
  await server.stop();
  throw new Error(reason);
}

interface ServedModel {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly runCost?: { readonly fixedMs: number; readonly msPerGmac: number };
}

async function modelOf({ url }: RunningServer, name: string): Promise<ServedModel | undefined> {
  const { models } = (await (await fetch(`${url}/v1/models`)).json()) as { models: readonly ServedModel[] };
  return models.find((model) => model.name === name);
}

async function whyNotReady(server: RunningServer, name: string): Promise<string | undefined> {
  const model = await modelOf(server, name);
  if (model?.state === 'ready') return undefined;
  return `it is not ready: ${model?.reason ?? model?.state ?? 'the server does not know it'}`;
}

async function runCostOf(server: RunningServer, name: string): Promise<ServedModel['runCost']> {
  const cost = (await modelOf(server, name))?.runCost;
  return cost && { fixedMs: cost.fixedMs, msPerGmac: cost.msPerGmac };
}
