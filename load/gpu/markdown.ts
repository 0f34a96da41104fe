/** A run of the kit as Markdown, for people. README.md says what the columns are. Pure. */
import { machineLine } from '../report.js';
import { figure, markdownTable, type Column } from '../tables.js';
import { ceilingsOf, runCostsOf, speedOfHalf, type Ceilings, type RunCostComparison } from './ceilings.js';
import {
  rowsOf,
  type AnswerRow,
  type ChangingCountsRow,
  type DecodeRow,
  type DeviceRow,
  type EngineRow,
  type FactRow,
  type FrontsRow,
  type GpuReport,
  type HeatmapRow,
  type PartState,
  type ServerRow,
  type StepRecord,
  type TorchRow,
} from './report.js';

const STATES: Readonly<Record<GpuReport['state'], string>> = {
  running: 'The run is under way, or was cut off: what follows is what it had found until then.',
  stopped: 'The run was stopped: what follows is what it had found until then.',
  over: 'The run is over.',
};

const number = (value: number | undefined): string => (value === undefined ? '–' : figure(value));
const error = (value: number | undefined): string => (value === undefined ? '–' : value.toExponential(1));
/** A cell is one line, and a bar would end it. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');

const PARTS: readonly Column<PartState>[] = [
  ['part', ({ name }) => name],
  ['holds', ({ holds }) => holds],
  ['state', ({ state }) => cell(state)],
];
const FACTS: readonly Column<FactRow>[] = [
  ['what', ({ key }) => cell(key)],
  ['is', ({ value }) => cell(value)],
];
const DEVICES: readonly Column<DeviceRow>[] = [
  ['device', ({ device }) => device],
  ['works', ({ failure }) => (failure === undefined ? 'yes' : `no: ${cell(failure)}`)],
  ['probe net ms', ({ probe }) => number(probe?.runMs)],
  ['on one core of the CPU ms', ({ probe }) => number(probe?.coreMs)],
];
const ANSWERS: readonly Column<AnswerRow>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  [
    'against',
    ({ against }) => (against === 'golden' ? 'golden' : against === undefined ? '–' : 'the CPU, photographs'),
  ],
  ['largest difference', (row) => error(row.error)],
  ['may be', ({ bound }) => error(bound)],
  ['same best class', ({ sameBest }) => (sameBest === undefined ? '–' : `${sameBest[0]} of ${sameBest[1]}`)],
  ['verdict', verdictOf],
];
const ENGINE: readonly Column<EngineRow>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['batch', ({ batch }) => String(batch)],
  ['images/s', ({ perSecond }) => figure(perSecond)],
  ['ms a batch', ({ ms }) => figure(ms)],
  ['first run ms', ({ firstMs }) => figure(firstMs)],
  ['GMAC/s', ({ gmacs, ms }) => figure((gmacs * 1000) / ms)],
  ['device MiB', ({ deviceMiB }) => number(deviceMiB)],
];
const CHANGING_COUNTS: readonly Column<ChangingCountsRow>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['batch', ({ batch }) => String(batch)],
  ['in turn with', ({ other }) => String(other)],
  ['planned', ({ planned }) => (planned ? 'yes' : 'no')],
  ['ms after the same', ({ sameMs }) => figure(sameMs)],
  ['ms after the other', ({ changedMs }) => figure(changedMs)],
  ['a change costs ms', ({ sameMs, changedMs }) => figure(changedMs - sameMs)],
];
const DECODING: readonly Column<DecodeRow>[] = [
  ['to the input of', ({ models }) => models.join(', ')],
  ['decoded by', ({ processes }) => (processes === 0 ? 'one process' : `${processes} of their own`)],
  ['as the server', ({ isServed }) => (isServed ? 'yes' : '')],
  ['photographs/s', ({ perSecond }) => figure(perSecond)],
  ['core-ms each', ({ coreMs }) => figure(coreMs)],
  ["ms of the engine's JavaScript thread", ({ threadMs }) => figure(threadMs)],
];
const FRONTS: readonly Column<FrontsRow>[] = [
  ['clients', ({ clients }) => String(clients)],
  ['photographs/s', ({ sample }) => figure(sample.imagesPerSecond)],
  ['p50 ms', ({ sample }) => figure(sample.p50Ms)],
  ['p99 ms', ({ sample }) => figure(sample.p99Ms)],
  ['cores of the server', ({ sample }) => figure(sample.cores)],
  ['of its own process', ({ sample }) => figure(sample.ownCores)],
  ['of the clients (processes)', ({ clientCores, clientProcesses }) => `${figure(clientCores)} (${clientProcesses})`],
  ['errors', ({ sample }) => String(sample.errors)],
];
const SERVER: readonly Column<ServerRow>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['clients', ({ clients }) => String(clients)],
  ['images/s', ({ sample }) => figure(sample.imagesPerSecond)],
  ['p50 ms', ({ sample }) => figure(sample.p50Ms)],
  ['p99 ms', ({ sample }) => figure(sample.p99Ms)],
  ['mean batch', ({ sample }) => figure(sample.meanBatch)],
  ['cores', ({ sample }) => figure(sample.cores)],
  ['of its own process', ({ sample }) => figure(sample.ownCores)],
  ['of the clients', ({ clientCores }) => figure(clientCores)],
  ['event loop p99 ms', ({ sample }) => figure(sample.eventLoopP99Ms)],
  ['peak MiB', ({ sample }) => number(sample.peakMiB)],
  ['device MiB', ({ deviceMiB }) => number(deviceMiB)],
  ['ready after s', ({ startSeconds }) => figure(startSeconds)],
  ['errors', ({ sample }) => String(sample.errors)],
];
const CEILINGS: readonly Column<Ceilings>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['engine /s (batch)', ({ engine, batch }) => (engine === undefined ? '–' : `${figure(engine)} (${batch})`)],
  ['decoding /s', ({ decode }) => number(decode)],
  ['fronts /s', ({ fronts }) => number(fronts)],
  ['binds', ({ binds }) => binds ?? '–'],
  [
    'server /s (clients)',
    ({ server, serverClients }) => (server === undefined ? '–' : `${figure(server)} (${serverClients})`),
  ],
  [
    'server / lowest',
    ({ server, ceiling }) => (server === undefined || ceiling === undefined ? '–' : (server / ceiling).toFixed(2)),
  ],
];
const line = ({ fixedMs, msPerGmac }: RunCostComparison['online']): string =>
  `${figure(fixedMs)} + ${msPerGmac.toPrecision(3)} · GMAC`;
const RUN_COSTS: readonly Column<RunCostComparison>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['engine alone, ms', ({ offline }) => line(offline)],
  ['the server found, ms', ({ online }) => line(online)],
  ['server / engine', ({ ratios }) => ratios.map(({ batch, ratio }) => `${ratio.toFixed(2)} at ${batch}`).join(', ')],
];
const HEATMAPS: readonly Column<HeatmapRow>[] = [
  ['device', ({ device }) => device],
  ['numbers', ({ numbers }) => numbers],
  ['model', ({ model }) => model],
  ['input', ({ side }) => `${side}×${side}`],
  ['output stride', ({ outputStride }) => String(outputStride)],
  ['ms', ({ ms, refused }) => refused ?? number(ms)],
  ['first ms', ({ firstMs }) => number(firstMs)],
  ['ms per megapixel', ({ ms, side }) => (ms === undefined ? '' : figure((ms * 1e6) / side ** 2))],
  ['server peak MiB', ({ peakMiB, refused }) => (refused === undefined ? figure(peakMiB) : '')],
];
const TORCH: readonly Column<TorchRow>[] = [
  ['model', ({ model }) => model],
  ['form', ({ form }) => cell(form)],
  ['batch', ({ batch }) => String(batch)],
  ['images/s', ({ perSecond, failure }) => (failure === undefined ? number(perSecond) : cell(failure))],
  ['ms a batch', ({ ms }) => number(ms)],
];
const STEPS: readonly Column<StepRecord>[] = [
  ['step', ({ name }) => name],
  ['state', stateOf],
  ['s', ({ seconds }) => seconds.toFixed(1)],
  ['of at most', ({ limitSeconds }) => limitSeconds.toFixed(1)],
  ['left out, or not possible', ({ notes }) => cell(notes.join('; '))],
];

function stateOf({ state, why, doing }: StepRecord): string {
  const said = state === 'running' && doing !== undefined ? `at ${doing}` : why;
  return cell(said === undefined ? state : `${state}: ${said}`);
}

function verdictOf({ error: found, bound, failure }: AnswerRow): string {
  if (failure !== undefined) return `no: ${cell(failure)}`;
  if (found === undefined || bound === undefined) return '–';
  return found <= bound ? 'yes' : '**no**';
}

export function toMarkdown(report: GpuReport): string {
  const { machine, settings, state, elapsedSeconds, steps, parts, notes } = report;
  const section = <T>(title: string, text: string, columns: readonly Column<T>[], rows: readonly T[]): string[] =>
    rows.length === 0 ? [] : [`## ${title}\n\n${text}\n\n${markdownTable(columns, rows)}`];
  const halves = speedOfHalf(report);
  const written = steps.filter((step) => step.written !== undefined && step.state !== 'done');
  return [
    `# A run of the GPU kit\n\n${machineLine(machine)}.\n\n${STATES[state]} ${elapsedSeconds.toFixed(0)} of at most ` +
      `${settings.seconds} s.\n`,
    ...section('Devices', 'Each tried in a process of its own, with a small net.', DEVICES, rowsOf(report, 'device')),
    ...section('What binds', 'Images a second of each part alone, and of the server.', CEILINGS, ceilingsOf(report)),
    ...section(
      'The server',
      'Photographs over HTTP, each client sends the next when it has its answer.',
      SERVER,
      rowsOf(report, 'server'),
    ),
    ...section('The engine alone', 'One session, pixels in, logits out.', ENGINE, rowsOf(report, 'engine')),
    ...(halves.length === 0
      ? []
      : [
          `Half precision over the device's own: ${halves.map(({ device, model, batch, ratio }) => `${model} on ${device} at ${batch}: ${ratio.toFixed(2)}`).join('; ')}.\n`,
        ]),
    ...section(
      'Counts in turn',
      'Two counts in one session, each twice. Planned: the session knew them when it was opened, as it does in the server.',
      CHANGING_COUNTS,
      rowsOf(report, 'changing-counts'),
    ),
    ...section('PyTorch on the same card', 'Input on the device already: a limit.', TORCH, rowsOf(report, 'torch')),
    ...section('Decoding alone', 'On all cores.', DECODING, rowsOf(report, 'decode')),
    ...section(
      'The fronts alone',
      'The server with nothing behind it that takes time.',
      FRONTS,
      rowsOf(report, 'fronts'),
    ),
    ...section(
      'What a run costs',
      'By the engine alone, and as the server found out from its own runs.',
      RUN_COSTS,
      runCostsOf(report),
    ),
    ...section('Heatmaps', 'One at a time, the best of the rounds.', HEATMAPS, rowsOf(report, 'heatmap')),
    ...section('Answers', 'As a part of the largest value.', ANSWERS, rowsOf(report, 'answer')),
    ...section('The machine', 'As it was found.', FACTS, rowsOf(report, 'fact')),
    ...section('Parts of the kit', 'As they were found beside it.', PARTS, parts),
    ...section('Steps', 'In their order.', STEPS, steps),
    ...written.map(
      ({ name, written: text }) => `What was written on standard error by ${name}:\n\n${indented(text!)}\n`,
    ),
    ...(notes.length === 0 ? [] : [`Notes:\n\n${notes.map((note) => `- ${note}\n`).join('')}`]),
  ].join('\n');
}

function indented(text: string): string {
  return text
    .split('\n')
    .slice(-20)
    .map((line) => `    ${line}`)
    .join('\n');
}
