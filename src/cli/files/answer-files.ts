/**
 * Files, each a question of its own: as many at once as keep the workers busy and the queue takes, and only those in
 * memory; the batcher puts them together again. A file that cannot be read or decoded is reported on the standard error
 * and stops no other; what no file is to blame for ends the whole. On a terminal a bar shows how far several are.
 */
import pLimit from 'p-limit';
import type { ImageInput } from '../../inference/infer.js';
import { errorText } from '../error-text.js';
import { EXIT, isImageProblem } from '../exit-code.js';
import { printable, readInput, type InputFile, type InputFiles } from './input-files.js';
import { createProgress } from '../terminal/progress.js';

/** What answers a command's questions: an engine of its own, or a server. */
export interface Answerer<T> {
  /** Questions in flight. */
  readonly atOnce: number;
  readonly answer: (image: ImageInput, file: InputFile) => Promise<T>;
}

/** What became of a file. */
export type Outcome<T> =
  { readonly file: InputFile; readonly answer: T } | { readonly file: InputFile; readonly problem: string };

/**
 * Answer all files. `report` is told of each, in their order, as soon as those before it are done; it may print. Sets the
 * process's exit code when a file has no answer.
 */
export async function answerFiles<T>(
  { files, empty }: InputFiles,
  { atOnce, answer }: Answerer<T>,
  report: (outcome: Outcome<T>) => void,
): Promise<void> {
  const progress = createProgress(files.length);
  const complain = (problem: string): void => {
    process.exitCode = EXIT.inputFailed;
    progress.aside(() => process.stderr.write(`fullconv: ${printable(problem)}\n`));
  };

  async function outcomeOf(file: InputFile): Promise<Outcome<T>> {
    let image: ImageInput;
    try {
      image = await readInput(file);
    } catch (error) {
      return { file, problem: (error as Error).message };
    }
    // To a server it would be a request without an image.
    if (image.bytes.length === 0) return { file, problem: 'The image is empty.' };
    try {
      return { file, answer: await answer(image, file) };
    } catch (error) {
      if (isImageProblem(error)) return { file, problem: errorText(error) };
      throw error;
    }
  }

  for (const path of empty) complain(`there is no image at ${path}`);
  const slots = pLimit(Math.max(1, atOnce));
  const outcomes = files.map((file) => slots(outcomeOf, file).finally(() => progress.step()));
  // One that fails ends the whole when its turn comes; until then nobody else listens.
  for (const outcome of outcomes) outcome.catch(() => undefined);
  try {
    for (const pending of outcomes) {
      const outcome = await pending;
      if ('problem' in outcome) {
        const { problem, file } = outcome;
        // What the system says of a file most often names it already.
        complain(problem.includes(`'${file.path}'`) ? problem : `${file.path}: ${problem}`);
      }
      progress.aside(() => report(outcome));
    }
  } finally {
    slots.clearQueue();
    progress.stop();
  }
}
