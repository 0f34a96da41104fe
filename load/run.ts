/** The load test: reads the command line, measures one group of models after the other, and writes what it found. */
import { SingleBar } from 'cli-progress';
import { planDevices } from '../src/app.js';
import { readConfig, type Config } from '../src/config.js';
import { deviceName } from '../src/device.js';
import { withAccuracies } from './accuracies.js';
import { interruption, runCommand } from './command.js';
import { measureGroup, plannedSeconds, type Watcher } from './measure-group.js';
import { readPhotos, resizePhotos } from './photos.js';
import { describeMachine, REPORT_VERSION, type LeftOut, type Report, type Row } from './report.js';
import { groupsOf, readScenario, type EngineChoice, type Scenario } from './scenario.js';
import type { ImagesBySize } from './traffic.js';
import { checkModels } from './workspace.js';
import { printReport, writeReport } from './write-report.js';

await runCommand(async () => {
  const scenario = readScenario(process.argv.slice(2));
  if (scenario !== undefined) await run(scenario);
});

async function run(scenario: Scenario): Promise<void> {
  const configWith = (engine: EngineChoice | undefined): Config =>
    readConfig({ FULLCONV_LOG_LEVEL: 'error', ...process.env, ...engine?.settings });
  const config = configWith(undefined);
  const plan = await planDevices(config);
  const engines = scenario.engines.length > 0 ? scenario.engines : [undefined];
  // `planDevices` has already chosen the devices that the settings leave open.
  const configOf = (engine: EngineChoice | undefined): Config =>
    engine === undefined ? { ...config, device: plan.device.devices } : configWith(engine);
  const groups = groupsOf(scenario);
  const measurements = groups.flatMap((group) => engines.map((engine) => ({ group, engine })));
  if (!scenario.every) await checkModels(config, groups);
  const images = await imagesOf(
    scenario,
    groups.flatMap(({ subjects }) => subjects.flatMap(({ parts }) => parts)),
  );
  const machine = await describeMachine();
  const { threads, decoders } = config;
  const { workers, limits, device } = plan;
  const { models: _models, every: _every, engines: _engines, output, ...settings } = scenario;
  const rows: Row[] = [];
  const leftOut: LeftOut[] = [];
  const notes: string[] = [];
  const report = (): Report => ({
    kind: 'load',
    version: REPORT_VERSION,
    machine,
    settings: {
      ...settings,
      workers,
      threads,
      decoders,
      maxBatch: limits.maxBatchSize,
      devices: device.devices.map(deviceName),
    },
    rows,
    leftOut,
    notes,
  });

  const interrupted = interruption();
  const bar = new SingleBar({
    format: '{bar} {percentage}% | {eta_formatted} left | {what}',
    stream: process.stderr,
    // One line a minute if there is no terminal.
    noTTYOutput: true,
    notTTYSchedule: 60_000,
  });
  const total = measurements.reduce((sum, { group }) => sum + plannedSeconds(group, scenario), 0);
  bar.start(Math.ceil(total), 0, { what: '' });
  let planned = 0;
  const watcherOf = (engine: EngineChoice | undefined): Watcher => ({
    signal: interrupted,
    begin: (what) => bar.update({ what }),
    advance: (seconds) => bar.increment(seconds),
    leaveOut({ models, precision, view, sizes }, reason) {
      leftOut.push({ models, precision, view, sizes, reason, ...(engine && { engine: engine.name }) });
    },
    note: (text) => notes.push(text),
  });
  for (const { group, engine } of measurements) {
    if (interrupted.aborted) break;
    // The time of a group that failed counts as spent.
    bar.update(Math.round(planned));
    planned += plannedSeconds(group, scenario);
    const watcher = watcherOf(engine);
    try {
      const measured = await measureGroup(group, scenario, configOf(engine), images, watcher);
      rows.push(...measured.map((row) => ({ ...row, ...(engine && { engine: engine.name }) })));
    } catch (error) {
      for (const subject of group.subjects) watcher.leaveOut(subject, String(error));
      process.exitCode = 1;
    }
    if (output !== undefined) await writeReport(output, await withAccuracies(report()));
  }
  bar.stop();
  if (interrupted.aborted) {
    notes.push('the run was interrupted');
    process.exitCode = 130;
    if (output !== undefined) await writeReport(output, await withAccuracies(report()));
  }
  printReport(await withAccuracies(report()));
}

async function imagesOf({ photos: folder }: Scenario, parts: readonly { size: string }[]): Promise<ImagesBySize> {
  const photos = await readPhotos(folder);
  const images = new Map<string, readonly (typeof photos)[number][]>();
  for (const size of new Set(parts.map((part) => part.size))) {
    images.set(size, size === 'photos' ? photos : await resizePhotos(photos, size));
  }
  return images;
}
