/** `fullconv classify FILES`: the classes of images, by a local engine or a server's (`--server`). */
import type { ClassifyFlags } from '../answers.js';
import type { Config } from '../../config.js';
import { classify, type Classification, type ClassifyOptions } from '../../inference/classify.js';
import { answerFiles, type Answerer, type Outcome } from '../files/answer-files.js';
import { findInputs, type InputFile } from '../files/input-files.js';
import { localContext } from '../../inference/request-context.js';
import { imagesAtOnce } from '../../inference/images-at-once.js';
import { formatTable, withModel } from '../local-service.js';
import { remoteClassifier } from '../remote.js';
import { printable } from '../terminal/printable.js';
import { pictureMode, screenOf, showPicture } from '../terminal/terminal-picture.js';

/** The classes of a file at each scale, and the photo for the terminal. */
interface Classified {
  readonly results: readonly Classification[];
  readonly picture: string;
}

export async function classifyCommand(config: Config, args: readonly string[], flags: ClassifyFlags): Promise<void> {
  const inputs = await findInputs(args);
  const screen = screenOf(process.stdout);
  const mode = flags.json ? 'none' : pictureMode(flags.picture, inputs.files.length, screen, process.env);
  const listed: object[] = [];
  const report = (outcome: Outcome<Classified>): void => {
    if (flags.json) listed.push(...asRecords(outcome));
    else if ('answer' in outcome) process.stdout.write(asText(outcome.answer));
  };
  const run = ({ atOnce, answer }: Answerer<readonly Classification[]>): Promise<void> =>
    answerFiles(
      inputs,
      {
        atOnce,
        answer: async (image, file, signal) => {
          const results = await answer(image, file, signal);
          return { results, picture: await showPicture(image.bytes, mode, screen) };
        },
      },
      report,
    );
  if (flags.server !== undefined) await run(remoteClassifier({ url: flags.server, apiKey: config.apiKey }, flags));
  else await withLocalClassifier(config, flags, run);
  if (flags.json) process.stdout.write(JSON.stringify(listed, null, 2) + '\n');
}

async function withLocalClassifier(
  config: Config,
  { model: name, fit, size, scale: scales, top: topK }: ClassifyFlags,
  work: (classifier: Answerer<readonly Classification[]>) => Promise<void>,
): Promise<void> {
  const options: ClassifyOptions = { fit, size, scales, flip: false, topK, scores: 'probability' };
  await withModel(config, name, (service, model) =>
    work({
      atOnce: imagesAtOnce(service, config.maxQueue, options),
      async answer(image) {
        const { results } = await classify(service.inference, model, [image], options, localContext);
        // `classify` throws if its only image fails, so no result is a problem.
        return results as Classification[];
      },
    }),
  );
}

/** Records for programs, one for each scale: the file's path with its result, or with its problem. */
function asRecords(outcome: Outcome<Classified>): object[] {
  const { path: file, name }: InputFile = outcome.file;
  if ('problem' in outcome) return [{ file, name, problem: outcome.problem }];
  return outcome.answer.results.map((result) => ({ file, ...result }));
}

function asText({ results, picture }: Classified): string {
  const tables = results.map(({ name, width, height, input, predictions }) => {
    const rows = predictions.map(({ label, id, score }) => [label, id, `${(score * 100).toFixed(1)} %`.padStart(7)]);
    return (
      `${printable(`${name}  ${width}×${height}, scale ${input.scale}`)}\n` +
      `${formatTable(['class', 'id', 'probability'], rows)}\n\n`
    );
  });
  return picture + tables.join('');
}
