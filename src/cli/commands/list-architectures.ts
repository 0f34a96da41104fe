/** `fullconv architectures`: what can be built by name. Its Markdown is the table of the README. */
import { allArchitectureFigures, type ArchitectureFigures } from '../../models/look/architecture-figures.js';
import { printRows } from '../local-service.js';

export interface ListArchitecturesFlags {
  readonly markdown?: boolean;
  readonly json?: boolean;
}

export function listArchitecturesCommand({ markdown = false, json = false }: ListArchitecturesFlags): void {
  const figures = allArchitectureFigures();
  if (markdown) process.stdout.write(architecturesMarkdown(figures));
  else printRows(json ? figures : figures.map(row), json);
}

/** Columns with two decimals. */
const HUNDREDTHS = new Set(['parameters (M)', 'GMAC']);

/** The table, in Markdown. */
export function architecturesMarkdown(figures: readonly ArchitectureFigures[]): string {
  const rows = figures.map((each) => Object.entries(row(each)));
  // The table of the README still has the old heading.
  const header = rows[0]?.map(([column]) => (column === 'GMAC' ? 'multiply-adds (G)' : column)) ?? [];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const body = rows.map((cells) =>
    line(cells.map(([column, value]) => (HUNDREDTHS.has(column) ? Number(value).toFixed(2) : String(value)))),
  );
  return [line(header), line(header.map((_, column) => (column === 0 ? '---' : '---:'))), ...body].join('');
}

function row(figures: ArchitectureFigures): Record<string, string | number> {
  return {
    architecture: figures.name,
    'parameters (M)': hundredths(figures.publishedParameters / 1e6),
    GMAC: hundredths(figures.multiplyAdds / 1e9),
    'native size': figures.inputSize,
    'map cells': figures.cells,
    'output stride': figures.outputStride,
    'receptive field': figures.receptiveField,
  };
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100;
}
