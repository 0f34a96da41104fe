/** The server's own process alone: HTTP, headers, plans, batches, messages and answers, with nothing behind that takes time. */
import { fileURLToPath } from 'node:url';
import { crowdLoad } from '../crowd.js';
import { folderToServe } from '../models.js';
import { partsOf, REFERENCE } from '../plan.js';
import { startProgram } from '../../server-process.js';
import type { StepContext } from '../step-task.js';

const SERVER_FILE = fileURLToPath(new URL('./fronts-server.js', import.meta.url));
const SECONDS = 4;

export async function measureFronts(context: StepContext): Promise<void> {
  const { settings, places } = context;
  const { engine, kind } = partsOf(REFERENCE);
  const { folder, served } = await folderToServe(context, settings.models[0]!, 'fp32');
  context.begin('the start of a server with nothing behind it');
  const server = await startProgram([process.execPath, SERVER_FILE], {
    FULLCONV_MODELS: folder,
    FULLCONV_CACHE: places.cache,
    FULLCONV_ENGINE: engine.name,
    FULLCONV_DEVICE: kind,
    // As behind a GPU: one process has all, in batches as large as they come.
    FULLCONV_WORKERS: '1',
    FULLCONV_MAX_BATCH: '32',
    FULLCONV_MAX_QUEUE: '4096',
  });
  try {
    const loads = settings.clients.filter((clients) => clients > 1).toSorted((a, b) => b - a);
    for (const [index, clients] of (loads.length > 0 ? loads : settings.clients).entries()) {
      if (context.left() <= 0) {
        context.note(`no time was left for ${clients} clients`);
        continue;
      }
      const seconds = Math.min(SECONDS, Math.max(0.3, context.left() / (loads.length - index) - 2));
      context.begin(`${clients} clients`);
      const load = await crowdLoad(server, { model: served, photos: places.photos, clients, seconds });
      context.put({ table: 'fronts', key: String(clients), clients, ...load });
    }
  } finally {
    await server.stop();
  }
}
