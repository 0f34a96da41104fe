/** The engine without a server, for the commands that work on local files. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { pino } from 'pino';
import { createService, type Service } from '../app.js';
import type { Config } from '../config.js';
import type { ImageInput, RequestContext } from '../inference/infer.js';

/** Start the service, do the work, end the workers whatever happened. */
export async function withService<T>(config: Config, work: (service: Service) => T | Promise<T>): Promise<T> {
  const service = await createService(config, pino({ level: config.logLevel }, pino.destination(2)));
  try {
    return await work(service);
  } finally {
    await service.close();
  }
}

/** Nobody waits with a deadline for a local command. */
export const localContext: RequestContext = {
  priority: 0,
  deadline: Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
};

export async function readImage(file: string): Promise<ImageInput> {
  return { name: basename(file), bytes: await readFile(file) };
}

/** Lines of aligned columns; numbers to the right. */
export function formatTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows.map((row) => row.map(String))];
  const numeric = header.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
