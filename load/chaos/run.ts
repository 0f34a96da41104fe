/**
 * `npm run chaos`: the real server under friendly clients, while its processes are killed and stopped, and strangers send what
 * hurts. It must answer every friendly request with its right answer or with an error that says to try again, keep a light
 * client's requests below a second, and be at the end what it was at the start: memory, open files, processes.
 * `npm run soak -- --hours N` is the same for longer.
 *
 * What is done, and when, follows from `--seed`. Linux only: it reads and signals processes through /proc.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand, interruption } from '../command.js';
import { positive, whole } from '../options.js';
import { readPhotos } from '../photos.js';
import { describeMachine, machineLine } from '../report.js';
import { SAMPLES } from '../scenario.js';
import { startServer } from '../server-process.js';
import { median, percentile } from '../statistics.js';
import { FAILURES, STRANGERS, type Action } from './actions.js';
import { mostP99Ms } from './bystander.js';
import { footprintOf, watchGrowth, type Footprint } from './footprint.js';
import { createFriends } from './friends.js';
import { limitOf } from './memory-limit.js';
import { createRandom } from './random.js';

const HELP = `npm run chaos -- [options], npm run soak -- [options]
  --minutes N    how long (1.5)
  --hours N      how long, in hours
  --seed N       of what is done, and when (1)
  --clients N    friendly clients (4)
  --photos DIR   photographs that they send (${SAMPLES})
  --memory N     MiB that the server may take, by a control group where this may be set; 0: as it likes (1024)
`;

/** What runs longer is killed; a short limit, so that a run that hangs is seen to be. */
const DEADLINE_MS = 8000;
const SETTLE_S = 8;
const MOST_GROWTH_MIB = 200;
const MOST_FILES = 20;
/** The bystander's, before the trouble begins. */
const ALONE_MS = 2000;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly clients: number;
  readonly photos: string;
  readonly memoryMiB: number;
}

async function cause({ minutes, seed, clients, photos: folder, memoryMiB }: Options): Promise<void> {
  const signal = interruption();
  const random = createRandom(seed);
  const photos = await readPhotos(folder);
  const memory = await limitOf(memoryMiB);
  const settings = {
    FULLCONV_DEADLINE_MS: String(DEADLINE_MS),
    FULLCONV_REQUEST_TIMEOUT_MS: '5000',
    FULLCONV_RENDERERS: '1',
    FULLCONV_LOG_LEVEL: 'fatal',
  };
  const server = await startServer(settings, '.', memory?.launcher);
  const done = new Map<string, number>();
  /** Actions that are under way, or were until a moment ago. */
  let now = 'nothing';
  const faults: string[] = [];
  const friends = await createFriends(server.url, photos, (fault) => faults.push(fault));
  // Everything has run once, and every process that there will be is there.
  for (const action of STRANGERS) await attempt(action);
  const before = await footprintAtRest();

  async function attempt(action: Action): Promise<void> {
    try {
      await action.run({ server, address: `127.0.0.${2 + random.below(200)}`, photos, random });
    } catch (error) {
      // The server may hang up on whoever misbehaves; it must not be gone.
      const { code } = error as { code?: string };
      if (code === 'ECONNREFUSED') faults.push(`${action.name}: the server is gone`);
    }
  }

  /** When nobody asks, after every friendly question was asked once more. */
  async function footprintAtRest(): Promise<Footprint> {
    await friends.hangUp();
    await sleep(SETTLE_S * 1000);
    await friends.warmUp();
    await friends.hangUp();
    return footprintOf(server);
  }

  async function makeTrouble(actions: readonly Action[], isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const action = random.pick(actions);
      done.set(action.name, (done.get(action.name) ?? 0) + 1);
      now = action.name;
      await attempt(action);
      await sleep(random.between(50, 600));
    }
  }

  const phase = async (actions: readonly Action[], bystander: boolean): Promise<void> => {
    const end = performance.now() + (minutes * 60_000) / 2;
    const isOver = (): boolean => performance.now() >= end || signal.aborted;
    const watching = bystander ? [friends.bystander(isOver, () => now)] : [];
    await Promise.all([makeTrouble(actions, isOver), ...watching, ...friends.steady(clients, isOver)]);
  };
  let isOver = false;
  const calmUntil = performance.now() + ALONE_MS;
  await friends.bystander(
    () => performance.now() >= calmUntil,
    () => now,
  );
  const alone = friends.seen.latencies.map(({ ms }) => ms);
  const growing = watchGrowth(server, minutes * 60_000, () => isOver || signal.aborted);
  // No stranger makes a light client wait. Where processes are lost, it waits until others have started.
  await phase(STRANGERS, true);
  await phase([...STRANGERS, ...FAILURES], false);
  isOver = true;
  const growth = await growing;
  const after = await footprintAtRest();
  const kills = (await memory?.kills()) ?? 0;
  const peakMiB = await memory?.peakMiB();
  await server.stop().catch((error: unknown) => faults.push(String(error)));
  await memory?.remove();

  const { latencies, answers } = friends.seen;
  const inTrouble = latencies.slice(alone.length);
  const p99 = percentile(Float64Array.from(inTrouble, ({ ms }) => ms).sort(), 0.99);
  const most = mostP99Ms(alone);
  if (p99 > most) faults.push(`a bystander's p99 was ${Math.round(p99)} ms, more than ${Math.round(most)} ms`);
  if (after.residentMiB > before.residentMiB + MOST_GROWTH_MIB) faults.push('the memory did not come back');
  if (kills > 0) faults.push(`the system killed ${kills} processes for lack of memory`);
  if (after.files > before.files + MOST_FILES) faults.push('files stayed open');
  if (after.processes !== before.processes) faults.push('there are not as many processes as before');

  process.stdout.write(`${machineLine(await describeMachine())}; seed ${seed}, ${minutes} minutes.\n\n`);
  for (const [name, count] of [...done].sort()) process.stdout.write(`${String(count).padStart(6)}  ${name}\n`);
  for (const [kind, count] of [...answers].sort())
    process.stdout.write(`${String(count).padStart(6)}  answers: ${kind}\n`);
  process.stdout.write(
    `bystander: ${inTrouble.length} requests, p99 ${Math.round(p99)} ms, alone ${Math.round(median(alone))} ms\n`,
  );
  const slowest = inTrouble.toSorted((a, b) => b.ms - a.ms).slice(0, 5);
  for (const { ms, beside } of slowest) process.stdout.write(`  ${Math.round(ms)} ms beside: ${beside}\n`);
  for (const [when, { residentMiB, files, processes }] of Object.entries({ before, after })) {
    process.stdout.write(`${when}: ${Math.round(residentMiB)} MiB, ${files} open files, ${processes} processes\n`);
  }
  process.stdout.write(
    `under load, for each hour: ${growth.residentMiB.toFixed(0)} MiB, ${growth.files.toFixed(1)} open files ` +
      `(slopes of ${growth.samples} samples)\n`,
  );
  if (peakMiB !== undefined)
    process.stdout.write(`peak: ${Math.round(peakMiB)} of ${memoryMiB} MiB, with page cache\n`);
  for (const fault of new Set(faults)) process.stdout.write(`FAULT: ${fault}\n`);
  if (faults.length > 0) process.exitCode = 1;
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1.5' },
      hours: { type: 'string' },
      seed: { type: 'string', default: '1' },
      clients: { type: 'string', default: '4' },
      photos: { type: 'string', default: SAMPLES },
      memory: { type: 'string', default: '1024' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const minutes =
    values.hours === undefined ? positive('--minutes')(values.minutes) : 60 * positive('--hours')(values.hours);
  await cause({
    minutes,
    seed: whole('--seed', values.seed),
    clients: whole('--clients', values.clients),
    photos: values.photos,
    memoryMiB: values.memory === '0' ? 0 : whole('--memory', values.memory),
  });
});
