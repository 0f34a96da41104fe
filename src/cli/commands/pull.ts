/** `fullconv pull NAME`: fetches weights of the catalog into a model folder. Without a name it lists the catalog. */
import { SETTING_LIST, type Config } from '../../config.js';
import { UsageError } from '../../errors.js';
import { architectureFigures } from '../../models/look/architecture-figures.js';
import { checkHoldsModels } from '../../models/model-folders.js';
import { findEntry, readCatalog, type CatalogEntry } from '../../models/pull/catalog.js';
import { pullModel, type PulledModel } from '../../models/pull/pull-model.js';
import { weightsSource } from '../../models/pull/weights-source.js';
import { printRows } from '../local-service.js';
import { createTransferBar, megabytes } from '../terminal/transfer-bar.js';

export interface PullFlags {
  readonly list?: boolean;
  readonly from?: string;
  readonly as?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** The exit code that shells report for a process ended by Ctrl-C. */
const INTERRUPTED = 130;

export async function pullCommand(config: Config, name: string | undefined, flags: PullFlags): Promise<void> {
  if (flags.list === true && name !== undefined) {
    throw new UsageError('--list lists the whole catalog: it takes no name');
  }
  const unused = (['from', 'as', 'force'] as const).find((option) => flags[option] !== undefined);
  if (name === undefined && unused !== undefined) throw new UsageError(`--${unused} is for weights that are named.`);
  const catalog = await readCatalog();
  if (name === undefined || flags.list) {
    printRows(flags.json ? catalog.models : catalog.models.map(row), flags.json);
    return;
  }
  const entry = findEntry(catalog, name);
  await checkHoldsModels(config.models);
  const { HF_ENDPOINT: endpoint, HF_TOKEN: token } = process.env;
  const source = weightsSource({ from: flags.from, endpoint, token });
  const interruption = new AbortController();
  const stop = (): void => interruption.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const bar = createTransferBar(entry.name, process.stderr);
  try {
    const pulled = await pullModel(entry, catalog, {
      source,
      models: config.models,
      cache: config.cache,
      name: flags.as ?? entry.name,
      force: flags.force ?? false,
      signal: interruption.signal,
      onProgress: bar.update,
      onRetry: bar.pause,
    });
    bar.stop();
    process.stdout.write(flags.json ? asJson(pulled) : summary(pulled, config));
  } catch (error) {
    bar.stop();
    if (!interruption.signal.aborted) throw error;
    const kept = bar.done > 0 ? `; ${megabytes(bar.done)} are kept, and the same command resumes there` : '';
    process.stderr.write(`fullconv: interrupted${kept}\n`);
    process.exitCode = INTERRUPTED;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function row({ name, architecture, top1, input, license }: CatalogEntry): Record<string, string | number> {
  return {
    name,
    architecture,
    'parameters (M)': Math.round(architectureFigures(architecture).publishedParameters / 1e4) / 100,
    'input size': typeof input.size === 'number' ? input.size : input.size.join('×'),
    'top-1 %': top1?.toFixed(1) ?? '',
    license,
  };
}

function asJson({ folder, model, weights }: PulledModel): string {
  const { name, source, license } = model.manifest;
  return JSON.stringify({ name, folder, source, license, ...weights, parameters: model.parameters }) + '\n';
}

function summary({ folder, model, weights }: PulledModel, { models }: Config): string {
  const { name, description = '', source = '', license = '' } = model.manifest;
  const isDefault = SETTING_LIST.find((setting) => setting.name === 'models')?.default === models;
  const serve = isDefault ? 'fullconv serve' : `fullconv serve --models ${models}`;
  return [
    `${name}: ${description}, ${megabytes(weights.size)}, ${license}`,
    `  from    ${source}`,
    `  sha256  ${weights.sha256}, ${weights.verified ? 'as expected' : 'not verified: the source gives none'}; checked at every load`,
    `  in      ${folder}`,
    '',
    `  ${serve}`,
    `  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/v1/classify?model=${name}'`,
    `  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/v1/heatmap?model=${name}' -o heatmap.png`,
    '',
  ].join('\n');
}
