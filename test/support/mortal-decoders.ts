/** Processes that die with an image of a certain width (fixtures/mortal-decoder.mjs), and how many there are. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const MORTAL_DECODER_FILE = fileURLToPath(new URL('../fixtures/mortal-decoder.mjs', import.meta.url));

export interface Marker {
  /** From now on images of this width kill whoever is to decode them; with `no start` no process without an engine starts. */
  set(marker: {
    readonly width: number;
    readonly how: 'once' | 'always' | 'hang' | 'short' | 'no start';
  }): Promise<void>;
  clear(): Promise<void>;
  /** Processes that were started with this marker and run; undefined where the system does not tell. */
  processes(): Promise<number | undefined>;
  /** Their numbers, none where the system does not tell. */
  pids(): Promise<number[]>;
}

/** To be made before the processes are started. */
export function createMarker(name: string): Marker {
  const file = join(tmpdir(), `fullconv-${name}-${process.pid}`);
  process.env['MORTAL_DECODER_MARKER'] = file;
  return {
    set: (marker) => writeFile(file, JSON.stringify(marker)),
    clear: () => rm(file, { force: true }),
    processes: async () => (process.platform === 'linux' ? (await pidsOf(file)).length : undefined),
    pids: async () => (process.platform === 'linux' ? pidsOf(file) : []),
  };
}

async function pidsOf(file: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const starts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')));
  return pids.filter((_, index) => starts[index]!.split('\0').includes(`MORTAL_DECODER_MARKER=${file}`)).map(Number);
}
