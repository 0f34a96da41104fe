/**
 * Measures a few models in rounds. In each round the engine alone, decoding alone, and the server under each load
 * follow each other within seconds, so that a machine that slows down slows every figure alike.
 */
import { pino } from 'pino';
import { createService, type Service } from '../src/app.js';
import type { Config } from '../src/config.js';
import { deviceName } from '../src/device.js';
import type { CompiledModel } from '../src/models/compile.js';
import { closedLoop } from './closed-loop.js';
import { openLoop } from './open-loop.js';
import { askFor, bestBatch, measureDecode, measureEngine, networkView, type Question } from './parts.js';
import { openPeak } from './peak.js';
import type { Row, Sample } from './report.js';
import type { Group, Scenario, Subject } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { ceilingOf, computesOnCores, mean, median, rateOfMix } from './statistics.js';
import { trafficOf, type ImagesBySize } from './traffic.js';
import { createWorkspace } from './workspace.js';

export interface Watcher {
  /** Ends the measurement; what was measured so far is the result. */
  readonly signal: AbortSignal;
  /** Tells what is going on now. */
  begin(what: string): void;
  /** Tells that planned seconds are over. */
  advance(seconds: number): void;
  /** Tells what could not be measured, or not in every round, and why. */
  leaveOut(subject: Subject, reason: string): void;
  /** Tells what else is to be said. */
  note(text: string): void;
}

/** The least seconds for one measurement of a subject's part by itself. */
const SHORTEST_S = 1;
const PEAK_S = 1;
/** Seconds that a load takes beside its measurement. */
const AROUND_S = 1.5;
/** Seconds to generate the weights of a model and to open it, twice. */
const START_S = 5;
/** Seconds to quantize a model that has not been quantized. */
const QUANTIZE_S = 15;

interface Prepared {
  readonly subject: Subject;
  /** As the server reports it. */
  readonly precision: string;
  readonly questions: readonly Question[];
  readonly engineBatch: readonly number[];
  readonly multiplyAdds: number;
  readonly megapixels: number;
  readonly closed: readonly { readonly clients: number; readonly samples: Sample[] }[];
  readonly open: readonly { readonly share: number; readonly samples: Sample[] }[];
}

/** The seconds that `measureGroup` will report to `advance` in all. */
export function plannedSeconds({ subjects }: Group, scenario: Scenario): number {
  const { rounds } = scenario;
  const ofSubjects = subjects.map((subject) => {
    const { engine, decode, load, single } = secondsOf(subject, scenario);
    const loads = scenario.concurrency.length + scenario.shares.length;
    const singly = single === 0 ? 0 : scenario.concurrency.length * subject.parts.length * (single + AROUND_S);
    return engine + rounds * (engine + decode + loads * (load + AROUND_S) + singly);
  });
  const starting = startSeconds(subjects);
  return starting + (rounds + 1) * PEAK_S + ofSubjects.reduce((sum, seconds) => sum + seconds, 0);
}

function startSeconds(subjects: readonly Subject[]): number {
  const quantized = subjects.filter(({ precision }) => precision === 'int8');
  return START_S * subjects.length + QUANTIZE_S * quantized.length;
}

function secondsOf({ parts }: Subject, { durationS, rounds }: Scenario) {
  const load = durationS / rounds;
  const single = parts.length === 1 ? 0 : Math.max(SHORTEST_S, load / parts.length);
  return { engine: load, decode: load / 2, load, single };
}

/** Measure a group. Returns its rows that have at least one round, also after an interruption. */
export async function measureGroup(
  group: Group,
  scenario: Scenario,
  given: Config,
  images: ImagesBySize,
  watcher: Watcher,
): Promise<Row[]> {
  watcher.begin('starting');
  const photos = [...images.values()][0]!;
  const workspace = await createWorkspace(given, group, photos, (text) => watcher.note(text));
  const { models, cache } = workspace;
  const config: Config = { ...given, models, cache, untrained: [...group.architectures], defaultModel: '' };
  const prepared: Prepared[] = [];
  let service: Service | undefined;
  let server: RunningServer | undefined;
  try {
    // One after the other: each writes the generated weights if there are none.
    service = await createService(config, pino({ level: config.logLevel }, pino.destination(2)));
    server = await startServer({
      FULLCONV_MODELS: models,
      FULLCONV_CACHE: cache,
      FULLCONV_UNTRAINED: group.architectures.join(','),
      FULLCONV_DEFAULT_MODEL: '',
      FULLCONV_ENGINE: config.engine,
      FULLCONV_DEVICE: service.device.devices.map(deviceName).join(','),
    });
    watcher.advance(startSeconds(group.subjects));
    await measureRounds({ group, scenario, config, images, watcher, service, server }, prepared);
  } catch (error) {
    if (!watcher.signal.aborted) throw error;
  } finally {
    await server?.stop();
    await service?.close();
    await workspace.remove();
  }
  return prepared.flatMap(rowsOf).filter(({ samples }) => samples.length > 0);
}

interface Bench {
  readonly group: Group;
  readonly scenario: Scenario;
  readonly config: Config;
  readonly images: ImagesBySize;
  readonly watcher: Watcher;
  readonly service: Service;
  readonly server: RunningServer;
}

/** Fills `prepared`, so that an interruption leaves what was measured before it. A subject that fails is left out from then on. */
async function measureRounds(bench: Bench, prepared: Prepared[]): Promise<void> {
  const { group, scenario, watcher, service, server } = bench;
  const served = await servedModels(server);
  const failed = new Set<Subject>();
  async function unlessItFails<T>(subject: Subject, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (watcher.signal.aborted) throw error;
      failed.add(subject);
      watcher.leaveOut(subject, String(error));
      return undefined;
    }
  }

  watcher.begin('peak');
  const peak = await openPeak(service.pool, PEAK_S, watcher.signal);
  watcher.advance(PEAK_S);
  for (const subject of group.subjects) {
    const reason = reasonAgainst(subject, served);
    if (reason !== undefined) watcher.leaveOut(subject, reason);
    else {
      const each = await unlessItFails(subject, () => prepare(bench, subject, served));
      if (each !== undefined) prepared.push(each);
    }
  }
  for (let round = 0; round < scenario.rounds; round++) {
    watcher.begin('peak');
    const peakRate = await peak.measure(PEAK_S, watcher.signal);
    watcher.advance(PEAK_S);
    for (const each of prepared.filter(({ subject }) => !failed.has(subject))) {
      await unlessItFails(each.subject, () => measureRound(bench, each, round, peakRate));
    }
  }
  await peak.close();
}

/** As /v1/models lists them. */
interface ServedModel {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  /** `fp32` where it is absent. */
  readonly precision?: string;
  readonly heatmapsUnavailable?: string;
}

async function servedModels({ url }: RunningServer): Promise<ReadonlyMap<string, ServedModel>> {
  const { models } = (await (await fetch(`${url}/v1/models`)).json()) as { models: ServedModel[] };
  return new Map(models.map((model) => [model.name, model]));
}

/** Why a subject cannot be measured; undefined when it can. */
function reasonAgainst(
  { models, precision, view }: Subject,
  served: ReadonlyMap<string, ServedModel>,
): string | undefined {
  for (const name of models) {
    const model = served.get(name);
    if (model?.state !== 'ready') return `${name} is not ready: ${model?.reason ?? 'the server does not know it'}`;
    const { precision: actual = 'fp32', heatmapsUnavailable } = model;
    if (precision === 'int8' && actual !== precision) return `${name} is served in ${actual}, not in ${precision}`;
    if (view === 'heatmap' && heatmapsUnavailable !== undefined) {
      return `${name} has no heatmaps: ${heatmapsUnavailable}`;
    }
  }
  return undefined;
}

/** Finds the engine's best batch size, which also opens and warms its sessions. */
async function prepare(bench: Bench, subject: Subject, served: ReadonlyMap<string, ServedModel>): Promise<Prepared> {
  const { scenario, config, images, watcher, service } = bench;
  const { models, view, parts } = subject;
  const { engine: seconds } = secondsOf(subject, scenario);
  watcher.begin(`${models.join(' + ')} ${view}: batch size`);
  const questions: Question[] = [];
  for (const name of models) {
    const photos = parts.filter(({ model }) => model === name).flatMap(({ size }) => images.get(size)!);
    questions.push(await askFor(config, service, name, view, photos));
  }
  const engineBatch: number[] = [];
  for (const question of questions) {
    engineBatch.push(await bestBatch(service, question, seconds / questions.length, watcher.signal));
  }
  watcher.advance(seconds);
  const precisions = models.map((name) => served.get(name)?.precision ?? 'fp32');
  return {
    subject,
    precision: [...new Set(precisions)].join(' + '),
    questions,
    engineBatch,
    multiplyAdds: mean(
      questions.flatMap((question) => question.plans.map(({ crop }) => networkView(question).multiplyAdds(crop))),
    ),
    megapixels: mean(questions.flatMap(({ plans }) => plans.map(({ photo }) => (photo.width * photo.height) / 1e6))),
    closed: scenario.concurrency.map((clients) => ({ clients, samples: [] })),
    open: scenario.shares.map((share) => ({ share, samples: [] })),
  };
}

async function measureRound(bench: Bench, prepared: Prepared, round: number, peak: number): Promise<void> {
  const { scenario, config, images, watcher, service, server } = bench;
  const { subject, questions, engineBatch, closed, open } = prepared;
  const { signal } = watcher;
  const { parts, view } = subject;
  const seconds = secondsOf(subject, scenario);
  const traffic = trafficOf(parts, view, images);
  const name = `${subject.models.join(' + ')} ${subject.precision} ${view} ${subject.sizes}`;

  watcher.begin(`${name}: engine`);
  const engines: number[] = [];
  for (const [index, question] of questions.entries()) {
    const share = seconds.engine / questions.length;
    engines.push(await measureEngine(service, question, engineBatch[index]!, share, signal));
  }
  watcher.advance(seconds.engine);
  watcher.begin(`${name}: decoding`);
  const decodes: number[] = [];
  for (const question of questions) {
    decodes.push(await measureDecode(config, question, seconds.decode / questions.length, signal));
  }
  watcher.advance(seconds.decode);
  const engine = rateOfMix(engines);
  const decode = rateOfMix(decodes);
  const alone = {
    engine,
    decode,
    ceiling: ceilingOf(engine, decode, computesOnCores(service.device.devices[0]!.kind)),
    peak,
  };

  for (const { clients, samples } of closed) {
    const singles: number[] = [];
    for (const part of seconds.single === 0 ? [] : parts) {
      watcher.begin(`${part.model} ${view} ${part.size}: ${clients} clients`);
      const own = trafficOf([part], view, images);
      singles.push((await closedLoop(server, own, clients, seconds.single, signal)).imagesPerSecond);
      watcher.advance(seconds.single + AROUND_S);
    }
    watcher.begin(`${name}: ${clients} clients`);
    const load = await closedLoop(server, traffic, clients, seconds.load, signal);
    samples.push({ ...alone, ...(singles.length > 0 && { single: rateOfMix(singles) }), server: load });
    watcher.advance(seconds.load + AROUND_S);
  }

  // The throughput with the best number of clients, over the rounds so far.
  const capacity = Math.max(
    ...closed.map(({ samples }) => median(samples.map(({ server }) => server.imagesPerSecond))),
  );
  for (const [index, { share, samples }] of open.entries()) {
    watcher.begin(`${name}: open loop at ${share}`);
    const load = {
      perSecond: share * capacity,
      seconds: seconds.load,
      seed: scenario.seed + round * open.length + index,
      capacity: { workers: service.pool.size, perSecond: capacity },
    };
    samples.push({ ...alone, server: await openLoop(server, traffic, load, signal) });
    watcher.advance(seconds.load + AROUND_S);
  }
}

function rowsOf(prepared: Prepared): Row[] {
  const { subject, precision, questions, engineBatch, multiplyAdds, megapixels, closed, open } = prepared;
  const { models, view, sizes } = subject;
  const parameters = (question: Question): CompiledModel['parameters'] => question.model.parameters;
  const common = {
    ...{ models, precision, view, sizes, megapixels, engineBatch },
    parametersM: questions.map(parameters).reduce((sum, count) => sum + count, 0) / 1e6,
    gmacs: multiplyAdds / 1e9,
  };
  return [
    ...closed.map(({ clients, samples }): Row => ({ ...common, load: { loop: 'closed', clients }, samples })),
    ...open.map(({ share, samples }): Row => ({ ...common, load: { loop: 'open', share }, samples })),
  ];
}
