/** Images without an answer, in commands that go on without them and whose result is about the others. */
import { errorText } from '../error-text.js';
import { EXIT } from '../exit-code.js';
import { printable } from '../terminal/printable.js';

/** Say which images have no answer, and why, on the standard error. Sets the process's exit code if there is one. */
export function tellFailures(failures: readonly { readonly name: string; readonly problem: unknown }[]): void {
  for (const { name, problem } of failures) {
    process.exitCode = EXIT.inputFailed;
    process.stderr.write(`${printable(`${name}: ${errorText(problem)}`)}\n`);
  }
}
