/** `fullconv models`: what is there to be served. */
import type { Config } from '../config.js';
import { printRows, withService } from './local-service.js';

export async function modelsCommand(config: Config, flags: { json?: boolean }): Promise<void> {
  const rows = await withService({ ...config, workers: 1 }, ({ registry }) =>
    registry.list().map(({ name, state, reason, model }) => ({
      name: name === registry.defaultName ? `${name} (default)` : name,
      state: reason === undefined ? state : `${state}: ${reason}`,
      architecture: model?.manifest.architecture ?? '',
      classes: model?.labels.length ?? 0,
      'parameters (M)': Math.round((model?.parameters ?? 0) / 1e4) / 100,
      'multiply-adds (G)':
        Math.round(
          (model?.multiplyAdds({ width: model.manifest.input.size, height: model.manifest.input.size }) ?? 0) / 1e6,
        ) / 1000,
      'input size': model?.manifest.input.size ?? 0,
      'output stride': model !== undefined && 'geometry' in model.dense ? model.dense.geometry.outputStride : 0,
    })),
  );
  printRows(rows, flags.json);
}
