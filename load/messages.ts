/**
 * `npm run load:messages`: what a long message to or from a process costs the server's own process: how long a turn of its
 * event loop takes at most, and how long the message. Over the channel (processes/message-channel.ts), and beside it over
 * Node's IPC with structured clones. The process does nothing but answer, and is this file again.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CHANNEL_FD, channelToParent, openChannel } from '../src/processes/message-channel.js';
import { runCommand } from './command.js';
import { positive, whole } from './options.js';
import { describeMachine, machineLine } from './report.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:messages -- [options]
  --megabytes LIST  lengths of the messages (0.1,1,10,41,128)
  --rounds N        messages of each length (9)
  --output NAME     also write load/results/NAME.md
`;

const CHILD = 'child-over-';
const WAYS = ['ipc', 'channel'] as const;
type Way = (typeof WAYS)[number];
const DIRECTIONS = ['to the process', 'from the process'] as const;

/** Bytes that go to the process, and the length of those that it answers with. */
interface Asked {
  readonly sent: Uint8Array;
  readonly answerBytes: number;
}

interface Row {
  readonly megabytes: number;
  readonly direction: (typeof DIRECTIONS)[number];
  readonly way: Way;
  /** One a round. */
  readonly taken: readonly Taken[];
}

/** In milliseconds. */
interface Taken {
  /** The longest turn of the event loop, by the clock: other programs may have had the core. */
  readonly heldMs: number;
  /** Processor time of the turn that took most. */
  readonly busyMs: number;
  /** Until the answer was there. */
  readonly totalMs: number;
}

const COLUMNS: readonly Column<Row>[] = [
  ['MB', ({ megabytes }) => String(megabytes)],
  ['direction', ({ direction }) => direction],
  ['over', ({ way }) => way],
  ['longest turn, CPU ms', ({ taken }) => figure(median(taken.map(({ busyMs }) => busyMs)))],
  ['at most', ({ taken }) => figure(Math.max(...taken.map(({ busyMs }) => busyMs)))],
  ['longest turn ms', ({ taken }) => figure(median(taken.map(({ heldMs }) => heldMs)))],
  ['total ms', ({ taken }) => figure(median(taken.map(({ totalMs }) => totalMs)))],
];

const first = process.argv[2] ?? '';
if (first.startsWith(CHILD)) answerOver(first.slice(CHILD.length) as Way);
else await runCommand(main);

function answerOver(way: Way): void {
  const answer = ({ answerBytes }: Asked): Uint8Array => new Uint8Array(answerBytes).fill(1);
  if (way === 'ipc') {
    process.on('message', (asked: Asked) => process.send!(answer(asked)));
    return;
  }
  const channel = channelToParent<Uint8Array, Asked>({
    onMessage: (asked) => void channel.send(answer(asked)),
    onEnd: () => process.exit(),
    maxBytes: () => Infinity,
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      megabytes: { type: 'string', default: '0.1,1,10,41,128' },
      rounds: { type: 'string', default: '9' },
      output: { type: 'string' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const lengths = values.megabytes.split(',').map(positive('--megabytes'));
  const rounds = whole('--rounds', values.rounds);
  const rows: Row[] = [];
  const processes = WAYS.map((way) => ({ way, ...start(way) }));
  try {
    for (const megabytes of lengths) {
      for (const direction of DIRECTIONS) {
        for (const { way, ask } of processes) {
          const { sent, answerBytes } = askedFor(megabytes * 1e6, direction);
          const taken: Taken[] = [];
          for (let round = 0; round < rounds; round++) taken.push(await watchLoop(() => ask({ sent, answerBytes })));
          rows.push({ megabytes, direction, way, taken });
        }
      }
    }
  } finally {
    for (const { child } of processes) child.kill('SIGKILL');
  }
  const text = `${machineLine(await describeMachine())}; ${rounds} rounds.\n\n${markdownTable(COLUMNS, rows)}`;
  process.stdout.write(text);
  if (values.output !== undefined) await writeFile(join(RESULTS, `${values.output}.md`), `# Long messages\n\n${text}`);
}

function askedFor(bytes: number, direction: Row['direction']): Asked {
  const isSent = direction === 'to the process';
  return { sent: new Uint8Array(isSent ? bytes : 0).fill(1), answerBytes: isSent ? 0 : bytes };
}

/** A process that answers, one question at a time. */
function start(way: Way): { readonly child: ChildProcess; readonly ask: (asked: Asked) => Promise<void> } {
  let answered: () => void = () => undefined;
  const ask = (send: () => void): Promise<void> =>
    new Promise((resolve) => {
      answered = resolve;
      send();
    });
  const script = fileURLToPath(import.meta.url);
  if (way === 'ipc') {
    const child = fork(script, [CHILD + way], { serialization: 'advanced' });
    child.on('message', () => answered());
    return { child, ask: (asked) => ask(() => child.send(asked)) };
  }
  const stdio = ['ignore', 'inherit', 'inherit', 'overlapped'] as const;
  const child = spawn(process.execPath, [script, CHILD + way], { stdio: [...stdio] });
  const channel = openChannel<Asked, Uint8Array>(child.stdio[CHANNEL_FD] as Duplex, {
    onMessage: () => answered(),
    onEnd: () => undefined,
    maxBytes: () => Infinity,
  });
  return { child, ask: (asked) => ask(() => void channel.send(asked)) };
}

/** The turns of the event loop while `work` goes on. */
async function watchLoop(work: () => Promise<void>): Promise<Taken> {
  // Of the rounds before there is garbage.
  await sleep(20);
  let heldMs = 0;
  let busyMs = 0;
  let last = performance.now();
  let used = process.cpuUsage();
  let immediate: NodeJS.Immediate;
  const look = (): void => {
    const { user, system } = process.cpuUsage(used);
    busyMs = Math.max(busyMs, (user + system) / 1000);
    heldMs = Math.max(heldMs, performance.now() - last);
    last = performance.now();
    used = process.cpuUsage();
    immediate = setImmediate(look);
  };
  look();
  const started = performance.now();
  await work();
  const totalMs = performance.now() - started;
  await sleep(1);
  clearImmediate(immediate!);
  return { heldMs, busyMs, totalMs };
}
