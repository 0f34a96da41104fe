/**
 * The common part of the commands that answer with maps. Each picture is written as soon as it is drawn, and shown in a
 * terminal. One line of text or JSON reports each file: on the standard output, or on the standard error if the picture
 * goes to the standard output.
 */
import type { DrawnMap, MapFlags } from '../answers.js';
import { answerFiles, type Answerer } from '../files/answer-files.js';
import type { InputFiles } from '../files/input-files.js';
import type { Outputs } from '../files/output-files.js';
import { printable } from '../terminal/printable.js';
import { pictureMode, screenOf, showMap, showPicture } from '../terminal/terminal-picture.js';

/** A file's answer, for printing. */
interface Shown<Summary> {
  readonly summary: Summary;
  readonly output: string | undefined;
  readonly picture: string;
}

/** Answer all files with maps. `describe` puts a summary into words, without a line end. */
export async function answerWithMaps<Summary extends object>(
  inputs: InputFiles,
  outputs: Outputs,
  { picture: choice, json = false }: Pick<MapFlags, 'picture' | 'json'>,
  { atOnce, answer }: Answerer<DrawnMap<Summary>>,
  describe: (summary: Summary) => string,
): Promise<void> {
  const screen = screenOf(process.stdout);
  const mode = json ? 'none' : pictureMode(choice, inputs.files.length, screen, process.env);
  const lines = outputs.isPiped ? process.stderr : process.stdout;
  const several = inputs.files.length > 1;
  await answerFiles<Shown<Summary>>(
    inputs,
    {
      atOnce,
      async answer(image, file, signal) {
        const { picture, map, summary } = await answer(image, file, signal);
        const output = outputs.pathOf(file);
        if (output !== undefined) await outputs.write(output, picture);
        const shown =
          mode === 'characters' && map !== undefined ? showMap(map, screen) : await showPicture(picture, mode, screen);
        return { summary, output, picture: shown };
      },
    },
    (outcome) => {
      const { path: file, name } = outcome.file;
      if ('problem' in outcome) {
        if (json) lines.write(JSON.stringify({ file, problem: outcome.problem }) + '\n');
        return;
      }
      const { summary, output, picture } = outcome.answer;
      const text = printable(
        `${several ? `${name}: ` : ''}${describe(summary)}${output === undefined ? '' : ` → ${output}`}`,
      );
      lines.write(json ? JSON.stringify({ file, ...summary, output }) + '\n' : `${picture}${text}\n`);
    },
  );
}
