/** What is in use of a card's memory, as NVIDIA's own tool says; of other cards nothing is known. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** MiB in use on the first card, all processes together; undefined where nobody says. */
export async function deviceMemory(): Promise<number | undefined> {
  const said = await nvidiaSmi('memory.used').catch(() => undefined);
  const used = Number(said?.split('\n')[0]);
  return said === undefined || !Number.isFinite(used) ? undefined : used;
}

/** As it is called, and where containers have it that do not look there. */
const PLACES = ['nvidia-smi', '/usr/local/nvidia/bin/nvidia-smi'];

/** The answer of nvidia-smi, a line a card. Rejects where there is none. */
export async function nvidiaSmi(query: string): Promise<string> {
  const asked = [`--query-gpu=${query}`, '--format=csv,noheader,nounits'];
  const ask = async (command: string): Promise<string> =>
    (await promisify(execFile)(command, asked, { timeout: 10_000 })).stdout.trim();
  const [usual, other] = PLACES;
  return ask(usual!).catch((error: unknown) =>
    ask(other!).catch(() => {
      throw error;
    }),
  );
}
