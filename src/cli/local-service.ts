/** The engine without a server, for the commands that work on local files. */
import { join } from 'node:path';
import { createEngineRoom, createService, type EngineRoom, type Service, type ServiceOptions } from '../app.js';
import type { Config } from '../config.js';
import { OperatorError, UnavailableError, UsageError } from '../errors.js';
import { isTaken } from '../files.js';
import { openLog, STANDARD_ERROR } from '../log.js';
import { printable } from './terminal/printable.js';
import type { CompiledModel } from '../models/compile.js';

/** Start the service, do the work, and end the workers even if the work throws. */
export async function withService<T>(
  config: Config,
  work: (service: Service) => T | Promise<T>,
  options?: ServiceOptions,
): Promise<T> {
  const service = await starting(createService(config, openLog(config.logLevel, STANDARD_ERROR).logger, options));
  try {
    return await work(service);
  } finally {
    await service.close();
  }
}

/** As withService, for work that brings its own models. */
export async function withEngineRoom<T>(config: Config, work: (room: EngineRoom) => Promise<T>): Promise<T> {
  const room = await starting(createEngineRoom(config, openLog(config.logLevel, STANDARD_ERROR).logger));
  try {
    return await work(room);
  } finally {
    await room.close();
  }
}

/** Turns an expected failure to start into an UnavailableError. A UsageError, e.g. of a wrong setting, stays one. */
export function starting<T>(started: Promise<T>): Promise<T> {
  return started.catch((error: unknown) => {
    const isExpected = error instanceof OperatorError || (error instanceof Error && 'syscall' in error);
    if (!isExpected || error instanceof UsageError) throw error;
    throw new UnavailableError(error.message, { cause: error });
  });
}

/** As withService, with one model, which may be named by its path: it is imported then. Throws UnavailableError if the model exists but could not be loaded. */
export async function withModel<T>(
  config: Config,
  name: string | undefined,
  work: (service: Service, model: CompiledModel) => Promise<T>,
): Promise<T> {
  const isPath = name !== undefined && !(await isTaken(join(config.models, name))) && (await isTaken(name));
  const use = async (service: Service): Promise<T> => {
    const { registry } = service;
    const entries = registry.list();
    const [given = name] = registry.given;
    const meant = given === undefined && registry.defaultName === undefined ? entries[0]?.name : given;
    const entry = meant !== undefined && registry.has(meant) ? registry.entry(meant) : undefined;
    if (entry?.state === 'failed') {
      throw new UnavailableError(`The model "${entry.name}" is ${entry.state}: ${entry.reason ?? ''}`);
    }
    return registry.use(given, (model) => work(service, model));
  };
  return withService(config, use, isPath ? { models: [name] } : {});
}

/** Print records that all have the same keys: as a table, or as JSON for programs. */
export function printRows(rows: readonly object[], json = false): void {
  const [first] = rows;
  const text =
    json || first === undefined
      ? JSON.stringify(rows, null, 2)
      : formatTable(
          Object.keys(first),
          rows.map((row) => Object.values(row) as (string | number)[]),
        );
  process.stdout.write(text + '\n');
}

/** Lines of aligned columns; numbers to the right. The cells are made printable. */
export function formatTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => printable(String(cell))));
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
