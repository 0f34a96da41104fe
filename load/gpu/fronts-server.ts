/** The server with processes behind it that answer at once (hollow-process.ts), started as the real one is: settings in variables. */
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { createApp, createService } from '../../src/app.js';
import { readConfig } from '../../src/config.js';

const config = readConfig(process.env);
const logger = pino({ level: config.logLevel });
const workerFile = fileURLToPath(new URL('./hollow-process.js', import.meta.url));
const service = await createService(config, logger, { workerFile });
const app = await createApp(config, service, logger);
await app.listen(config);
logger.info({ url: app.http.listeningOrigin }, 'ready');
process.once('SIGTERM', () => {
  void app.close().then(() => process.exit(0));
});
