/** Heatmaps of one photograph by the size of the network's input and the output stride, one request at a time. */
import type { SizeRow } from './sizes-report.js';
import { forgetPeak, peakOf, type RunningServer } from './server-process.js';

export interface AskedHeatmaps {
  /** As they are served. */
  readonly models: readonly string[];
  /** Of the square input, in pixels. */
  readonly sides: readonly number[];
  /** Divisors of the net's own output stride. */
  readonly fractions: readonly number[];
  readonly rounds: number;
}

export interface HeatmapWatcher {
  /** Ends the measurement; what was measured so far is the result. */
  isOver(): boolean;
  begin(what: string): void;
  /** Told of each heatmap: its row, and how long it took; undefined if it was refused. */
  measured?(row: SizeRow, milliseconds: number | undefined): void;
}

/** Rows with at least one round, and those that the server refuses. Sizes are interleaved in rounds. */
export async function measureHeatmaps(
  server: RunningServer,
  photo: Uint8Array,
  { models, sides, fractions, rounds }: AskedHeatmaps,
  watcher: HeatmapWatcher,
): Promise<SizeRow[]> {
  const rows = await rowsOf(server, models, sides, fractions);
  // Round 0 opens the sessions, and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const row of rows.filter(({ refused }) => refused === undefined)) {
      if (watcher.isOver()) break;
      watcher.begin(`round ${round}: ${row.model} ${row.side}² at ${row.outputStride}`);
      const milliseconds = await measure(server, row, photo);
      if (round > 0 && milliseconds !== undefined) row.milliseconds.push(milliseconds);
      watcher.measured?.(row, milliseconds);
    }
  }
  return rows.filter(({ milliseconds, refused }) => milliseconds.length > 0 || refused !== undefined);
}

async function rowsOf(
  { url }: RunningServer,
  models: readonly string[],
  sides: readonly number[],
  fractions: readonly number[],
): Promise<SizeRow[]> {
  const rows: SizeRow[] = [];
  for (const model of models) {
    const response = await fetch(`${url}/v1/models/${model}`);
    const { outputStrides } = (await response.json()) as { outputStrides: number[] };
    for (const fraction of fractions) {
      const outputStride = outputStrides[0]! / fraction;
      if (!outputStrides.includes(outputStride)) continue;
      rows.push(...sides.map((side) => ({ model, side, outputStride, milliseconds: [], peakMiB: 0 })));
    }
  }
  return rows;
}

/** Milliseconds of one heatmap; undefined if it was refused. */
async function measure(server: RunningServer, row: SizeRow, photo: Uint8Array): Promise<number | undefined> {
  await forgetPeak(server);
  const { model, side, outputStride } = row;
  const query = `model=${model}&fit=stretch&size=${side}&outputStride=${outputStride}&deadlineMs=600000`;
  const started = performance.now();
  const response = await fetch(`${server.url}/v1/heatmap?${query}`, {
    method: 'POST',
    headers: { accept: 'application/x-npy' },
    body: photo,
  });
  const body = await response.arrayBuffer();
  if (!response.ok) {
    row.refused = (JSON.parse(new TextDecoder().decode(body)) as { code: string }).code;
    return undefined;
  }
  const milliseconds = performance.now() - started;
  row.peakMiB = Math.max(row.peakMiB, (await peakOf(server)) ?? 0);
  return milliseconds;
}
