/**
 * The load test: for each model, view and number of clients the engine alone, decoding alone, and the server under
 * autocannon, all interleaved in rounds so that a machine that slows down slows every figure. See README.md here for
 * what the columns mean.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { SingleBar } from 'cli-progress';
import { pino } from 'pino';
import { createService } from '../src/app.js';
import { isArchitecture } from '../src/architectures/index.js';
import { readConfig } from '../src/config.js';
import { measureDecode, measureEngine, plansOf } from './parts.js';
import { describeMachine, toMarkdown, type Report, type Row } from './report.js';
import { readScenario, type MeasuredView, type Scenario } from './scenario.js';
import { loadServer, startServer, type LoadResult } from './server-under-load.js';

const scenario = await readScenario(process.argv.slice(2));
if (scenario !== undefined) await run(scenario);

interface Sample {
  engine: number;
  batch: number;
  decode: number;
  load: LoadResult;
}

async function run(scenario: Scenario): Promise<void> {
  const untrained = scenario.models.filter(isArchitecture);
  const names = scenario.models.map((name) => (isArchitecture(name) ? `${name}-untrained` : name));
  const config = { ...readConfig({ FULLCONV_LOG_LEVEL: 'error', ...process.env }), untrained };
  const service = await createService(config, pino({ level: config.logLevel }));
  const server = await startServer(untrained);

  const cases = names.flatMap((name) =>
    scenario.views.flatMap((view) =>
      scenario.concurrency.map((clients) => ({ name, view, clients, samples: [] as Sample[] })),
    ),
  );
  const bar = new SingleBar({ format: '{what} {bar} {percentage}% | {eta_formatted} left', stream: process.stderr });
  bar.start(cases.length * scenario.rounds, 0, { what: '' });
  const seconds = scenario.durationS / scenario.rounds;
  for (let round = 0; round < scenario.rounds; round++) {
    for (const { name, view, clients, samples } of cases) {
      bar.update({ what: `${name} ${view} ${clients} clients` });
      samples.push(await measure(name, view, clients, seconds));
      bar.increment();
    }
  }
  bar.stop();
  const code = await server.stop();
  await service.close();
  if (code !== 0) throw new Error(`the server ended with ${code}`);

  async function measure(name: string, view: MeasuredView, clients: number, secondsEach: number): Promise<Sample> {
    const model = service.registry.get(name);
    const plans = await plansOf(config, model, view, scenario.photos);
    const engine = await measureEngine(service, model, view, plans, secondsEach);
    const decode = await measureDecode(config, model, view, scenario.photos, secondsEach / 2);
    const load = await loadServer(server, view, name, scenario.photos, clients, secondsEach);
    return { engine: engine.imagesPerSecond, batch: engine.batch, decode, load };
  }

  const rows: Row[] = cases.map(({ name, view, clients, samples }) => {
    const model = service.registry.get(name);
    const size = { width: model.manifest.input.size, height: model.manifest.input.size };
    const pick = (value: (sample: Sample) => number): number => median(samples.map(value));
    // The ratio is taken within each round, where the machine was the same.
    const ceiling = (sample: Sample): number => 1 / (1 / sample.engine + 1 / sample.decode);
    return {
      model: name,
      view,
      clients,
      parametersM: model.parameters / 1e6,
      multiplyAddsG: model.classifier.multiplyAdds(size) / 1e9,
      engine: pick((sample) => sample.engine),
      engineBatch: pick((sample) => sample.batch),
      decode: pick((sample) => sample.decode),
      ceiling: pick(ceiling),
      server: pick((sample) => sample.load.imagesPerSecond),
      ratio: pick((sample) => sample.load.imagesPerSecond / ceiling(sample)),
      p50Ms: pick((sample) => sample.load.p50Ms),
      p99Ms: pick((sample) => sample.load.p99Ms),
      meanBatch: pick((sample) => sample.load.meanBatch),
      cores: pick((sample) => sample.load.cores),
      residentMiB: Math.max(...samples.map((sample) => sample.load.residentMiB)),
      failures: samples.reduce((sum, sample) => sum + sample.load.failures, 0),
    };
  });
  const report: Report = {
    machine: await describeMachine(),
    photos: `${scenario.photos.length} of ${scenario.photosFrom}`,
    secondsPerRow: scenario.durationS,
    rounds: scenario.rounds,
    workers: config.workers,
    threads: config.threads,
    rows,
  };
  const markdown = toMarkdown(report);
  process.stdout.write(markdown);
  if (scenario.output === undefined) return;
  await mkdir('load/results', { recursive: true });
  await writeFile(`load/results/${scenario.output}.json`, JSON.stringify(report, null, 2) + '\n');
  await writeFile(`load/results/${scenario.output}.md`, markdown);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
