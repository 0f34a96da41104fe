/** The load test: reads the command line, measures one group of models after the other, and writes what it found. */
import { SingleBar } from 'cli-progress';
import { planDevices } from '../src/app.js';
import { readConfig } from '../src/config.js';
import { deviceName } from '../src/device.js';
import { interruption, runCommand } from './command.js';
import { measureGroup, plannedSeconds, type Watcher } from './measure-group.js';
import { readPhotos, resizePhotos } from './photos.js';
import { describeMachine, REPORT_VERSION, type Report, type Row } from './report.js';
import { groupsOf, readScenario, type Scenario } from './scenario.js';
import type { ImagesBySize } from './traffic.js';
import { checkModels } from './workspace.js';
import { printReport, writeReport } from './write-report.js';

await runCommand(async () => {
  const scenario = readScenario(process.argv.slice(2));
  if (scenario !== undefined) await run(scenario);
});

async function run(scenario: Scenario): Promise<void> {
  const given = readConfig({ FULLCONV_LOG_LEVEL: 'error', ...process.env });
  const plan = await planDevices(given);
  const config = { ...given, device: plan.device.devices };
  const groups = groupsOf(scenario);
  await checkModels(config, groups);
  const images = await imagesOf(
    scenario,
    groups.flatMap(({ subjects }) => subjects.flatMap(({ parts }) => parts)),
  );
  const machine = await describeMachine();
  const { threads, decoders } = config;
  const { workers, limits, device } = plan;
  const { models: _models, output, ...settings } = scenario;
  const rows: Row[] = [];
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
      providers: device.devices.map(deviceName),
    },
    rows,
    notes,
  });

  const interrupted = interruption();
  const bar = new SingleBar({
    format: '{bar} {percentage}% | {eta_formatted} left | {what}',
    stream: process.stderr,
    // A line a minute where there is no terminal.
    noTTYOutput: true,
    notTTYSchedule: 60_000,
  });
  const total = groups.reduce((sum, group) => sum + plannedSeconds(group, scenario), 0);
  bar.start(Math.ceil(total), 0, { what: '' });
  let planned = 0;
  const watcher: Watcher = {
    signal: interrupted,
    begin: (what) => bar.update({ what }),
    advance: (seconds) => bar.increment(seconds),
    note: (text) => notes.push(text),
  };
  for (const group of groups) {
    if (interrupted.aborted) break;
    // A group that was left out has been measured as far as the time is concerned.
    bar.update(Math.round(planned));
    planned += plannedSeconds(group, scenario);
    try {
      rows.push(...(await measureGroup(group, scenario, config, images, watcher)));
    } catch (error) {
      notes.push(`${[...group.models, ...group.architectures].join(', ')}: ${String(error)}`);
      process.exitCode = 1;
    }
    if (output !== undefined) await writeReport(output, report());
  }
  bar.stop();
  if (interrupted.aborted) {
    notes.push('the run was interrupted');
    process.exitCode = 130;
    if (output !== undefined) await writeReport(output, report());
  }
  printReport(report());
}

async function imagesOf({ photos: folder }: Scenario, parts: readonly { size: string }[]): Promise<ImagesBySize> {
  const photos = await readPhotos(folder);
  const images = new Map<string, readonly (typeof photos)[number][]>();
  for (const size of new Set(parts.map((part) => part.size))) {
    images.set(size, size === 'photos' ? photos : await resizePhotos(photos, size));
  }
  return images;
}
