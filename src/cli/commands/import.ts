/** `fullconv import PATH`: makes a model folder of what somebody has, and says how to ask the new model about a photo. */
import { createService, type Logger } from '../../app.js';
import { SETTING_LIST, type Config } from '../../config.js';
import { OperatorError } from '../../errors.js';
import type { CompiledModel } from '../../models/compile.js';
import { shellWord } from '../../models/files/shell-word.js';
import { importModel, type ImportedModel } from '../../models/import/import-model.js';
import type { InputPreset } from '../../models/manifest.js';
import { checkHoldsModels } from '../../models/model-folders.js';
import { OUTPUTS, type OutputKind } from '../../models/networks/network.js';
import { pixelSize } from '../../maps/input-plan.js';
import { ACTIVATIONS } from '../../maps/scores.js';
import { starting } from '../local-service.js';
import { printable } from '../terminal/printable.js';
import { facts, pixels } from './inspect.js';

export interface ImportFlags extends Partial<InputPreset> {
  readonly name?: string;
  readonly to?: string;
  readonly labels?: string;
  readonly output?: OutputKind;
  readonly architecture?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export async function importCommand(config: Config, path: string, flags: ImportFlags): Promise<void> {
  const { name, to, labels, output, architecture, force = false, json = false, ...rest } = flags;
  const models = to ?? config.models;
  const input = Object.fromEntries(
    INPUT_FIELDS.flatMap((field) => (rest[field] === undefined ? [] : [[field, rest[field]]])),
  );
  await checkHoldsModels(models);
  const imported = await importModel(
    path,
    { name, labels, output, architecture, force, models, input },
    (folder, model) => proveByLoading(config, { path, models: folder, name: model }),
  );
  process.stdout.write(json ? asJson(imported) : summary(imported, models));
}

const INPUT_FIELDS = [
  'size',
  'resize',
  'fit',
  'interpolation',
  'channels',
  'range',
  'mean',
  'std',
] as const satisfies readonly (keyof InputPreset)[];

/** A drafted model: what it was made of, and its name and place. */
interface Drafted {
  readonly path: string;
  readonly models: string;
  readonly name: string;
}

/** Load the model as a server does, with sessions of the engine and the check of its maps. Throws OperatorError with the reason. */
async function proveByLoading(config: Config, { path, models, name }: Drafted): Promise<CompiledModel> {
  let thrown: unknown;
  const log: Logger = {
    info: () => undefined,
    warn: () => undefined,
    error: (...[given]: readonly unknown[]) => (thrown ??= (given as { readonly err?: unknown }).err),
  };
  const alone = { ...config, models, workers: 1, defaultModel: '', untrained: [] };
  const service = await starting(createService(alone, log));
  try {
    const { model, reason = '' } = service.registry.entry(name);
    if (model !== undefined) return model;
    const isKnown = thrown instanceof OperatorError || reason !== COULD_NOT_OPEN;
    const engine = thrown instanceof Error ? thrown.message.replaceAll(models, '') : '';
    throw new OperatorError(`${path}: cannot be served: ${isKnown ? reason : `the engine refuses it: ${engine}`}`, {
      cause: thrown,
    });
  } finally {
    await service.close();
  }
}

const COULD_NOT_OPEN = 'it could not be opened; the log says why';

type Imported = ImportedModel<CompiledModel>;

function asJson({ folder, draft, proof }: Imported): string {
  const { manifest, labels, labelsFrom, guessed, notes, what } = draft;
  const maps =
    'unavailable' in proof.dense
      ? { unavailable: proof.dense.unavailable }
      : { outputStrides: proof.dense.outputStrides };
  return (
    JSON.stringify({
      name: manifest.name,
      folder,
      what,
      classes: labels.length,
      labelsFrom,
      input: manifest.input,
      guessed,
      maps,
      notes,
    }) + '\n'
  );
}

function summary({ folder, draft, proof }: Imported, models: string): string {
  const { what, manifest, notes } = draft;
  const standard = SETTING_LIST.find((setting) => setting.name === 'models')?.default;
  const where = models === standard ? '' : ` --models ${shellWord(models)}`;
  const { name } = manifest;
  return [
    printable(`${name}: ${what}`),
    facts([
      ...notes.map((note, index) => [index === 0 ? 'note' : '', note] as const),
      ['classes', classText(draft)],
      ['input', inputText(manifest.input)],
      ['guessed', guessText(draft)],
      ['output', `${OUTPUTS[proof.output]}; ${ACTIVATIONS[proof.conversion.activation]}`],
      ['heatmaps', mapText(proof)],
      ['folder', folder],
    ]),
    '',
    `  fullconv serve${where}`,
    `  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/v1/classify?model=${name}'`,
    `  fullconv classify photo.jpg --model ${name}${where}`,
    '',
  ].join('\n');
}

function classText({ labels, labelsFrom }: Imported['draft']): string {
  if (labelsFrom === undefined)
    return `${labels.length}, whose names are not known; --labels FILE gives them, a name a line`;
  const some = labels.slice(0, 4).map(({ label }) => label);
  return `${labels.length}, named by ${labelsFrom}: ${[...some, ...(labels.length > some.length ? ['…'] : [])].join('; ')}`;
}

function inputText(input: InputPreset): string {
  const { size, resize, interpolation, fit } = input;
  const { width, height } = pixelSize(size);
  const how =
    fit === 'stretch'
      ? `stretched to it (${interpolation})`
      : `short side to ${resize} (${interpolation}), the middle cut out`;
  return `${width}×${height}: ${how}; ${pixels(input)}`;
}

/** The flags that state what was guessed. */
function guessText({ manifest: { input }, guessed, guessedBecause }: Imported['draft']): string | undefined {
  if (guessed.length === 0) return undefined;
  const flags = guessed.map((field) => `--${field} ${String(input[field])}`).join(' ');
  return `${flags}, because ${guessedBecause}; if the net was trained otherwise, import it again with these flags and --force`;
}

function mapText({ dense }: CompiledModel): string {
  if ('unavailable' in dense) return `none: ${dense.unavailable}`;
  return `output stride ${dense.outputStrides.join(', ')}; edge ${dense.edges.join(', ')}; map ${dense.kinds.join(', ')}`;
}
