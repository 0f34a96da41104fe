/** PyTorch's own figures on the same card (torch_limit.py): what the card can do with these nets. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { StepContext } from '../step-task.js';

/** A line of the script. */
type Line =
  | { readonly skipped: string }
  | { readonly fact: string; readonly value: string }
  | {
      readonly model: string;
      readonly form: string;
      readonly batch: number;
      readonly ms?: number;
      readonly perSecond?: number;
      readonly failure?: string;
    };

export async function measureTorch(context: StepContext): Promise<void> {
  const script = join(context.places.scripts, 'torch_limit.py');
  const child = spawn('python3', ['-u', script, '--seconds', String(context.left())], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Rejects if it cannot be started.
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (text) => {
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as Line;
    if ('skipped' in line) {
      context.skip(line.skipped);
    } else if ('fact' in line) context.put({ table: 'fact', key: line.fact, value: line.value });
    else context.put({ ...line, table: 'torch', key: `${line.model} ${line.form} ${line.batch}` });
  });
  try {
    const [code, signal] = await ended;
    if (code !== 0) throw new Error(`${script} ended with ${signal ?? `code ${code}`}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    context.skip('there is no python3');
  }
}
