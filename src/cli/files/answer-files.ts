/**
 * Asks a question of its own for each file. As many files are in flight as keep the workers busy and fit into the
 * queue; only those are in memory, and the batcher puts them together again. A file that cannot be read or decoded is
 * reported on the standard error and stops no other. An error that no file is to blame for ends the command. On a
 * terminal a bar shows the progress of several files.
 */
import pLimit from 'p-limit';
import type { ImageInput } from '../../inference/infer.js';
import { errorText } from '../error-text.js';
import { EXIT, isImageProblem } from '../exit-code.js';
import { readInput, type InputFile, type InputFiles } from './input-files.js';
import { printable } from '../terminal/printable.js';
import { createProgress } from '../terminal/progress.js';

/** Answers a command's questions: a local engine or a server. */
export interface Answerer<T> {
  /** The most questions in flight. */
  readonly atOnce: number;
  /** `signal` aborts when the command ends before its time. */
  readonly answer: (image: ImageInput, file: InputFile, signal: AbortSignal) => Promise<T>;
}

/** The answer about a file, or its problem. */
export type Outcome<T> =
  { readonly file: InputFile; readonly answer: T } | { readonly file: InputFile; readonly problem: string };

/**
 * Answer all files. `report` gets each outcome, in the order of the files, as soon as those before it are done; it may
 * print. Sets the process's exit code if a file has no answer.
 */
export async function answerFiles<T>(
  { files, empty }: InputFiles,
  { atOnce, answer }: Answerer<T>,
  report: (outcome: Outcome<T>) => void,
): Promise<void> {
  const progress = createProgress(files.length);
  const ending = new AbortController();
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
    // A server would take an empty body for a request without an image.
    if (image.bytes.length === 0) return { file, problem: 'The image is empty.' };
    try {
      return { file, answer: await answer(image, file, ending.signal) };
    } catch (error) {
      if (isImageProblem(error)) return { file, problem: errorText(error) };
      throw error;
    }
  }

  for (const path of empty) complain(`there is no image at ${path}`);
  const slots = pLimit(Math.max(1, atOnce));
  const outcomes = files.map((file) => slots(outcomeOf, file).finally(() => progress.step()));
  // The loop below throws a failure when its turn comes. Until then Node must not report it as unhandled.
  for (const outcome of outcomes) outcome.catch(() => undefined);
  try {
    for (const pending of outcomes) {
      const outcome = await pending;
      if ('problem' in outcome) {
        const { problem, file } = outcome;
        // The system's messages about a file usually name it already.
        complain(problem.includes(`'${file.path}'`) ? problem : `${file.path}: ${problem}`);
      }
      progress.aside(() => report(outcome));
    }
  } finally {
    slots.clearQueue();
    ending.abort();
    progress.stop();
  }
}
