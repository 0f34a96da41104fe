/** `fullconv models`: lists the models that can be served, and their states. */
import type { Config } from '../../config.js';
import { pixelSize } from '../../maps/input-plan.js';
import type { CompiledModel } from '../../models/compile.js';
import { printRows, withService } from '../local-service.js';
import { printable } from '../terminal/printable.js';

export async function modelsCommand(config: Config, flags: { json?: boolean }): Promise<void> {
  const { rows, others } = await withService({ ...config, workers: 1, modelMemory: undefined }, ({ registry }) => ({
    others: registry.others,
    rows: registry.list().map(({ name, version = '', state, reason, model }) => ({
      name: name === registry.defaultName ? `${name} (default)` : name,
      state: reason === undefined ? state : `${state}: ${reason}`,
      architecture: model?.manifest.architecture ?? '',
      version,
      precision: model?.precision ?? '',
      classes: model?.labels.length ?? 0,
      'parameters (M)': Math.round((model?.parameters ?? 0) / 1e4) / 100,
      GMAC: Math.round((model === undefined ? 0 : gmacs(model)) * 1000) / 1000,
      'input size': model === undefined ? 0 : sizeText(model),
      'output strides': model !== undefined && 'view' in model.dense ? model.dense.outputStrides.join(', ') : '',
    })),
  }));
  printRows(flags.json ? rows.map(withOldName) : rows, flags.json);
  if (!flags.json && others.length > 0)
    process.stdout.write(`\n${printable(`Also in ${config.models}, and no models: ${others.join(', ')}`)}\n`);
}

/** A number for a square, as programs have read it. */
function sizeText({ manifest: { input } }: CompiledModel): number | string {
  return typeof input.size === 'number' ? input.size : input.size.join('×');
}

function gmacs({ classifier, manifest: { input } }: CompiledModel): number {
  return classifier.multiplyAdds(pixelSize(input.size)) / 1e9;
}

/** Programs read the column by its name, so the old name stays beside the new one for one version. */
function withOldName<T extends { GMAC: number }>(row: T): T & { 'multiply-adds (G)': number } {
  return { ...row, 'multiply-adds (G)': row.GMAC };
}
