/** Entry of the thread that converts one file. It sends one reply, and ends. Errors are sent as data. */
import { parentPort, workerData } from 'node:worker_threads';
import { OperatorError } from '../../errors.js';
import { failureOf } from '../thread-failure.js';
import type { Converter } from './conversion.js';
import { convertKerasFile } from './keras-file.js';
import { convertPytorchFile } from './pytorch-file.js';
import { convertTfjsGraphFile } from './tfjs-graph-file.js';
import type { Format, ImportReply, ImportStart } from './thread.js';

const CONVERTERS: Readonly<Record<Format, Converter>> = {
  keras: convertKerasFile,
  pytorch: convertPytorchFile,
  'tfjs-graph': convertTfjsGraphFile,
};

if (parentPort === null) throw new Error('import/worker.js is the entry of a thread');
parentPort.postMessage(await convert(workerData as ImportStart));

async function convert({ format, file, folder, stated }: ImportStart): Promise<ImportReply> {
  try {
    return { kind: 'converted', conversion: await CONVERTERS[format](file, folder, stated) };
  } catch (thrown) {
    const isSystem = thrown instanceof Error && 'syscall' in thrown;
    return failureOf(isSystem ? new OperatorError(`${folder}: cannot be written: ${thrown.message}`) : thrown);
  }
}
