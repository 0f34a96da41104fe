/**
 * What an experiment found, in its three forms: JSON for programs, Markdown for people, plots as SVG. Hides how long a
 * Markdown report may become.
 */
import { join } from 'node:path';
import { writeWhole } from '../files.js';
import type { FailedImage } from '../inference/answer-each.js';
import type { Ground } from './ground.js';

/** What an experiment returns. */
export interface Findings {
  /** Its one sentence, above everything. */
  readonly title: string;
  /** All figures, as JSON has them. */
  readonly data: object;
  /** What people read, in this order. */
  readonly sections: readonly Section[];
  /** Images that had no answer, so that the figures count without them. */
  readonly failures?: readonly FailedImage[];
}

export type Section = Paragraph | Table | Figure;

export interface Paragraph {
  readonly text: string;
}

/** A table; numbers are written as they are. */
export interface Table {
  readonly table: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface Figure {
  /** Name of its file, without `.svg`. */
  readonly figure: string;
  readonly caption: string;
  /** The SVG document; called only if it is to be written. */
  readonly draw: () => Promise<string>;
}

export interface Report extends Findings {
  readonly experiment: string;
  readonly ground: Ground;
}

/** Longer tables are cut in Markdown; JSON has all of them. */
const MOST_ROWS = 200;

/** The report without its pictures, for programs. */
export function asJson({ experiment, title, ground, data }: Report): string {
  return JSON.stringify({ experiment, title, ground, ...data }, null, 2) + '\n';
}

/** The report for people. `folder` says whether its pictures are beside it. */
export function asMarkdown(report: Report, { hasPictures = false } = {}): string {
  const { experiment, title, ground, sections } = report;
  const figures = sections.filter((section) => 'figure' in section).map(({ figure }) => `${figure}.svg`);
  const shown = hasPictures ? sections : sections.filter((section) => !('figure' in section));
  const rest = hasPictures || figures.length === 0 ? [] : [`Plots, with --output FOLDER: ${figures.join(', ')}`];
  return [`# ${experiment}: ${title}`, groundText(ground), ...shown.map(sectionText), ...rest].join('\n\n') + '\n';
}

/** Write report.json, report.md and the plots into a folder, which is made if it is missing. Returns their names. */
export async function writeReport(report: Report, folder: string): Promise<readonly string[]> {
  const plots = report.sections.filter((section) => 'figure' in section);
  const files: [string, string][] = [
    ['report.json', asJson(report)],
    ['report.md', asMarkdown(report, { hasPictures: true })],
  ];
  for (const { figure, draw } of plots) files.push([`${figure}.svg`, await draw()]);
  for (const [name, text] of files) await writeWhole(join(folder, name), text);
  return files.map(([name]) => name);
}

function sectionText(section: Section): string {
  if ('text' in section) return section.text;
  if ('figure' in section) return `![${section.caption}](${section.figure}.svg)`;
  const { table, header, rows } = section;
  const line = (cells: readonly (string | number)[]): string => `| ${cells.map(cellText).join(' | ')} |`;
  const isNumeric = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  const shown = rows.slice(0, MOST_ROWS);
  return [
    `**${table}**`,
    '',
    line(header),
    `|${isNumeric.map((numeric) => (numeric ? '---:' : '---')).join('|')}|`,
    ...shown.map(line),
    ...(rows.length === shown.length ? [] : ['', `${rows.length - shown.length} more rows are in the JSON report.`]),
  ].join('\n');
}

function cellText(cell: string | number): string {
  return String(cell).replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function groundText({ models, engine, device, processor, cores, date, version, images }: Ground): string {
  const run = engine === undefined ? [] : [`engine ${engine} on ${device ?? ''}`];
  const seen =
    images === undefined ? [] : [`${images.count} ${images.count === 1 ? 'image' : 'images'} of ${images.from}`];
  return [
    ...models.map(
      ({ name, version: of, digest, precision }) =>
        `- ${name}` +
        (of === undefined ? '' : `, version ${of}, sha256 ${digest?.slice(0, 12) ?? ''}, ${precision ?? ''}`),
    ),
    `- ${[...seen, ...run, `${processor}, ${cores} cores`, date, `fullconv ${version}`].join('; ')}`,
  ].join('\n');
}
