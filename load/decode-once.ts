/**
 * A process that decodes one image, for decode-cost.ts, and prints what that took as JSON: its peak of resident memory
 * beyond what it had before, processor seconds of all threads, and the estimate. It has decoded a small image of the
 * same format first, so that libraries are loaded.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { decodeInput, decodePhoto } from '../src/images/decode.js';
import { inputDecodeCost, photoDecodeCost, type DecodeCost } from '../src/images/decode-cost.js';
import { readImageHeader } from '../src/images/image-header.js';
import { planInput } from '../src/maps/input-plan.js';

/** `input`: what most models take of a photo. `photo`: all of it, as a picture is drawn over it. */
export type Product = 'input' | 'photo';

/** What the process prints. */
export interface Decoded {
  readonly measured: DecodeCost;
  readonly estimated: DecodeCost;
}

const BACKGROUND = { r: 255, g: 255, b: 255 };

async function decode(bytes: Uint8Array, product: Product): Promise<DecodeCost> {
  const header = await readImageHeader(bytes, { maxPixels: Infinity });
  if (product === 'photo') {
    await decodePhoto(bytes, header, { background: BACKGROUND });
    return photoDecodeCost(header);
  }
  const plan = planInput(header, { fit: 'crop', size: 224, resize: 256, scale: 1 });
  await decodeInput({ photo: { bytes, header }, input: plan, interpolation: 'bilinear', background: BACKGROUND });
  return inputDecodeCost(header, plan);
}

/** A figure of /proc/self/status, in bytes. */
async function memory(name: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) * 1024;
}

const [file, small, product] = process.argv.slice(2) as [string, string, Product];
await decode(await readFile(small), product);
const bytes = await readFile(file);
const before = await memory('VmRSS');
// The peak counts from here.
await writeFile('/proc/self/clear_refs', '5');
const start = process.cpuUsage();
const estimated = await decode(bytes, product);
const { user, system } = process.cpuUsage(start);
const measured = { bytes: (await memory('VmHWM')) - before, seconds: (user + system) / 1e6 };
process.stdout.write(JSON.stringify({ measured, estimated } satisfies Decoded));
