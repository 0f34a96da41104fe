/**
 * `npm run fuzz`: whatever strangers send to the server, and whatever stands in files of models, must be answered or refused.
 * Requests go to the real server (outside.ts); readers run on threads of this process, guided by their coverage (watch.ts).
 * Cases that fail are kept in test/fixtures/fuzz, where the tests run them from then on. What is done follows from `--seed`.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { OperatorError } from '../../src/errors.js';
import { interruption, runCommand } from '../command.js';
import { positive, whole } from '../options.js';
import { describeMachine, machineLine } from '../report.js';
import { keepCase, KINDS, readCase, SEEDS, type Fault, type Kind } from './case-file.js';
import { foundImages, IMAGE_FOLDERS, madeImages } from './images.js';
import { startFuzzedServer, type FuzzedServer } from './outside.js';
import { repeatInside } from './repeat.js';
import type { OutsideKind } from './requests.js';
import { MAY_HANG, TARGETS, type InsideKind } from './targets.js';
import type { ApiDocument } from './verdict.js';
import { fuzzReader } from './watch.js';

const HELP = `npm run fuzz -- [options] [files]
  --cases N      cases of all kinds together (100000)
  --minutes N    end after this time, which the kinds share (as long as it takes)
  --seed N       of what is done (1)
  --memory N     MiB that the server and its processes may take, where a control group can be made; 0: any (1024)
  --only KINDS   of ${KINDS.join(', ')} (all)
  files          cases to repeat, e.g. ${SEEDS}/…
`;

/** Parts of the cases, and of the time. */
const SHARES: Readonly<Record<Kind, { readonly cases: number; readonly time: number }>> = {
  images: { cases: 0.15, time: 0.28 },
  multipart: { cases: 0.1, time: 0.12 },
  query: { cases: 0.1, time: 0.12 },
  json: { cases: 0.05, time: 0.08 },
  inference: { cases: 0.05, time: 0.08 },
  models: { cases: 0.1, time: 0.18 },
  parsers: { cases: 0.45, time: 0.14 },
};

/** Faults of one kind are often one fault: so many cases are kept of each target. */
const KEPT_EACH = 5;

interface Options {
  readonly cases: number;
  readonly minutes: number;
  readonly seed: number;
  readonly memoryMiB: number;
  readonly only: readonly Kind[];
}

const isInside = (kind: Kind): kind is InsideKind => kind === 'models' || kind === 'parsers';

/** Collects what fails, keeps the cases and tells of each once. */
function createFaults() {
  const kept = new Map<string, number>();
  let count = 0;
  const keeping: Promise<void>[] = [];
  const tell = (text: string): void => void process.stdout.write(`FAULT: ${text}\n`);
  return {
    get count() {
      return count;
    },
    onFailure(message: string): void {
      count += 1;
      tell(message);
    },
    onFault(fault: Fault): void {
      count += 1;
      const name = `${fault.kind}-${fault.target}`;
      const before = kept.get(name) ?? 0;
      kept.set(name, before + 1);
      if (before >= KEPT_EACH) return;
      const keep = async (): Promise<void> => {
        const path = await keepCase(SEEDS, fault);
        tell(`${fault.message}\n  again: npm run fuzz -- ${path}`);
      };
      keeping.push(keep());
    },
    settled: () => Promise.all(keeping),
  };
}

async function startServer(
  memoryMiB: number,
  signal: AbortSignal,
  faults: ReturnType<typeof createFaults>,
): Promise<FuzzedServer> {
  const images = [...(await madeImages()), ...(await foundImages(IMAGE_FOLDERS))];
  const document = JSON.parse(await readFile('openapi/openapi.json', 'utf8')) as ApiDocument;
  return startFuzzedServer({ images, document, photo: images[0]!.bytes, memoryMiB, signal, ...faults });
}

async function fuzz({ cases, minutes, seed, memoryMiB, only }: Options): Promise<void> {
  const signal = interruption();
  const faults = createFaults();
  const onFault = (fault: Fault): void => faults.onFault(fault);
  const total = (part: 'cases' | 'time'): number => only.reduce((sum, kind) => sum + SHARES[kind][part], 0);
  const limitsOf = (kind: Kind) => ({
    cases: Math.ceil((cases * SHARES[kind].cases) / total('cases')),
    milliseconds: (minutes * 60_000 * SHARES[kind].time) / total('time'),
    seed: seed * 1_000_003 + KINDS.indexOf(kind),
  });
  const say = (kind: string, count: number, more = ''): void =>
    void process.stdout.write(`${String(count).padStart(7)}  ${kind}${more}\n`);
  process.stdout.write(`${machineLine(await describeMachine())}; seed ${seed}.\n\n`);

  const outside = only.filter((kind): kind is OutsideKind => !isInside(kind));
  if (outside.length > 0) {
    const server = await startServer(memoryMiB, signal, faults);
    for (const kind of outside) say(kind, await server.fuzz(kind, limitsOf(kind)));
    for (const line of await server.stop()) process.stdout.write(`${line}\n`);
  }
  for (const kind of only.filter(isInside)) {
    const targets = Object.keys(TARGETS[kind]);
    const { cases: ofKind, milliseconds, seed: own } = limitsOf(kind);
    const limits = {
      cases: Math.ceil(ofKind / targets.length),
      milliseconds: milliseconds / targets.length,
      seed: own,
    };
    for (const target of targets) {
      const mayHang = MAY_HANG.has(target);
      const done = await fuzzReader({ kind, target, ...limits, mayHang, signal, onFault });
      say(`${kind}, ${target}`, done.cases, `; ${done.known} inputs worth keeping`);
    }
  }
  await faults.settled();
  process.stdout.write(`${faults.count} faults\n`);
  if (faults.count > 0) process.exitCode = 1;
}

/** Run cases of files again, and tell what becomes of each. */
async function repeat(files: readonly string[], memoryMiB: number): Promise<void> {
  const signal = interruption();
  let server: FuzzedServer | undefined;
  const faults = createFaults();
  for (const file of files) {
    const one = await readCase(file);
    server ??= isInside(one.kind) ? undefined : await startServer(memoryMiB, signal, faults);
    const message = isInside(one.kind) ? await repeatInside(one) : await server?.repeat(one.bytes);
    process.stdout.write(`${file}: ${message ?? 'right'}\n`);
    if (message !== undefined) process.exitCode = 1;
  }
  await server?.stop();
}

function kindsOf(text: string): Kind[] {
  const words = text.split(',');
  const wrong = words.find((word) => !(KINDS as readonly string[]).includes(word));
  if (wrong !== undefined) throw new OperatorError(`--only ${text}: "${wrong}" is none of ${KINDS.join(', ')}`);
  return KINDS.filter((kind) => words.includes(kind));
}

await runCommand(async () => {
  const { values, positionals } = parseArgs({
    options: {
      cases: { type: 'string', default: '100000' },
      minutes: { type: 'string' },
      seed: { type: 'string', default: '1' },
      memory: { type: 'string', default: '1024' },
      only: { type: 'string', default: KINDS.join(',') },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const memoryMiB = values.memory === '0' ? 0 : whole('--memory', values.memory);
  if (values.help) process.stdout.write(HELP);
  else if (positionals.length > 0) await repeat(positionals, memoryMiB);
  else {
    await fuzz({
      cases: whole('--cases', values.cases),
      minutes: values.minutes === undefined ? Infinity : positive('--minutes')(values.minutes),
      seed: whole('--seed', values.seed),
      memoryMiB,
      only: kindsOf(values.only),
    });
  }
});
