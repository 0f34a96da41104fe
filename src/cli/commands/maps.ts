/**
 * What the commands that answer with maps have alike: every picture is written as soon as it is drawn, and shown in a
 * terminal; of each file one line tells what there is to say, or a JSON object in its place: on the standard output, or
 * on the standard error where the picture takes that.
 */
import type { Fit } from '../../maps/input-plan.js';
import type { ClassMap } from '../../maps/row-sampler.js';
import type { Edge } from '../../models/dense-views.js';
import { answerFiles, type Answerer } from '../files/answer-files.js';
import { printable, type InputFiles } from '../files/input-files.js';
import type { Outputs } from '../files/output-files.js';
import { pictureMode, screenOf, showMap, showPicture, type PictureChoice } from '../terminal/terminal-picture.js';

/** A map as a picture, and what there is to say of it. */
export interface DrawnMap<Summary> {
  readonly picture: Uint8Array;
  /** For terminals without pictures; absent where the summary says as much. */
  readonly map?: ClassMap | undefined;
  readonly summary: Summary;
}

/** What every question for maps may choose, and how they are shown. */
export interface MapFlags {
  readonly model?: string;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly width?: number;
  readonly server?: URL;
  readonly picture: PictureChoice;
  readonly json?: boolean;
}

/** A file's answer, for printing. */
interface Shown<Summary> {
  readonly summary: Summary;
  readonly output: string | undefined;
  readonly picture: string;
}

/** Answer all files with maps. `describe` says a summary for people, without a line end. */
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
      async answer(image, file) {
        const { picture, map, summary } = await answer(image, file);
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
