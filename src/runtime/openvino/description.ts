/**
 * OpenVINO, through its C library, which is installed beside this program. It computes on the processor's cores, in bfloat16
 * where they have it: in about half the time.
 */
import { statSync } from 'node:fs';
import { missingLibrary, publicLine } from '../device-failure.js';
import { workerPerCore } from '../device-policy.js';
import type { EngineDescription } from '../engine-description.js';
import { findLibrary } from './find-library.js';

export const openvino: EngineDescription<'openvino'> = {
  name: 'openvino',
  kinds: ['cpu'],
  numbered: [],
  automatic: [],
  notes: { engine: 'openvino and tensorflow are installed separately, see docs/engines.md' },
  contends: true,
  providers: (folder) => Promise.resolve(findLibrary({ folder }) === undefined ? [] : ['cpu']),
  identity: identify,
  tries: () => false,
  /** Half-precision graphs are computed in the half precision that the processor has (`Engine.autocast`). */
  computesHalf: () => false,
  lanes: 4,
  policy: (_, cores) => workerPerCore(cores),
  explainFailure: (_, message, written) => missingLibrary(message, written) ?? publicLine(message),
  load: async (options) => (await import('./engine.js')).createOpenvinoEngine(options),
};

function identify(folder?: string): string | undefined {
  const found = findLibrary({ folder });
  if (found === undefined) return undefined;
  const { size, mtimeMs } = statSync(found.path);
  return [found.path, size, mtimeMs].join(' ');
}
