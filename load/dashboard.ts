/**
 * `npm run load:dashboard -- URL`: asks a Prometheus for every expression of the Grafana dashboard (deploy/grafana/fullconv.json), says which
 * have no data, and draws the panels from the answers. The picture is this program's own, not Grafana's rendering: same panels,
 * places and expressions, other pens.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { OperatorError } from '../src/errors.js';
import { runCommand } from './command.js';
import { plainExpression, type Dashboard, type Panel, type Target } from './dashboard-model.js';
import { positive } from './options.js';
import { drawDashboard, type DrawnPanel, type Line } from './plots/dashboard.js';

const DASHBOARD = 'deploy/grafana/fullconv.json';
const OUTPUT = 'docs/dashboard.svg';
const HELP = `npm run load:dashboard -- URL [options]
  URL            a Prometheus that has watched a loaded server, e.g. http://127.0.0.1:9090
  --minutes M    to draw, until now (15)
  --output FILE  the picture (${OUTPUT})
`;

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values?: readonly (readonly [number, string])[];
  readonly value?: readonly [number, string];
}

/** Points of one panel: each is asked for at most so often. */
const POINTS = 180;

async function ask(url: string, panel: Panel, target: Target, minutes: number): Promise<Line[]> {
  const end = Math.floor(performance.timeOrigin + performance.now()) / 1000;
  const isTable = panel.type === 'table';
  const query = plainExpression(target.expr);
  const range = { start: String(end - minutes * 60), end: String(end), step: String((minutes * 60) / POINTS) };
  const address = new URL(`/api/v1/${isTable ? 'query' : 'query_range'}`, url);
  address.search = String(new URLSearchParams({ query, ...(isTable ? {} : range) }));
  const answer = (await (await fetch(address)).json()) as {
    readonly error?: string;
    readonly data?: { readonly result: readonly Series[] };
  };
  if (answer.data === undefined) throw new OperatorError(`${panel.title}: ${answer.error ?? 'no answer'}: ${query}`);
  return answer.data.result.map(({ metric, values, value }) => ({
    name: isTable ? tableRow(metric) : legendOf(target.legendFormat, metric),
    points: (values ?? [value!]).map(([at, number]) => ({ minute: (at - end) / 60, value: Number(number) })),
  }));
}

function legendOf(format: string, labels: Series['metric']): string {
  return format.replace(/\{\{(\w+)\}\}/g, (_, name: string) => labels[name] ?? '');
}

function tableRow({ __name__: _, job: __, ...labels }: Series['metric']): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '15' },
      output: { type: 'string', default: OUTPUT },
      help: { type: 'boolean' },
    },
  });
  const [url] = positionals;
  if (values.help === true || url === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const minutes = positive('minutes')(values.minutes);
  const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
  const empty: string[] = [];
  const drawn: DrawnPanel[] = [];
  for (const panel of dashboard.panels) {
    const lines: Line[] = [];
    for (const target of panel.targets ?? []) {
      const found = await ask(url, panel, target, minutes);
      if (found.length === 0) empty.push(`${panel.title}: ${plainExpression(target.expr)}`);
      lines.push(...found);
    }
    const { title, type, gridPos, fieldConfig } = panel;
    drawn.push({ title, type, place: gridPos, unit: fieldConfig?.defaults.unit ?? 'short', lines });
  }
  const date = new Date().toISOString().slice(0, 10);
  await writeFile(values.output, drawDashboard(`${dashboard.title}: ${minutes} minutes until ${date}`, drawn));
  process.stdout.write(`${values.output}: ${drawn.length} panels\n`);
  if (empty.length > 0) throw new OperatorError(`without data:\n${empty.join('\n')}`);
}

await runCommand(main);
