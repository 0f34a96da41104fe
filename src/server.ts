/**
 * The process: start the service, listen, and end well. On SIGTERM or SIGINT readiness turns false at once; after the
 * drain delay (for a load balancer to notice) new requests are refused, those in flight are answered, and the process
 * ends by itself with code 0. After the drain timeout it hangs up on clients that do not read their answers and ends
 * with code 1, as it does if the stop itself fails. A second signal kills it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { createApp, createService, type App } from './app.js';
import type { Config } from './config.js';
import { deviceNames } from './device.js';
import { VERSION } from './version.js';

/**
 * Serve until a signal comes. Resolves when the server listens. Rejects if it cannot start. `warnings` about the
 * settings go to the log, which the settings have set up.
 */
export async function serve(config: Config, warnings: readonly string[] = []): Promise<void> {
  const started = performance.now();
  const log = pino({ level: config.logLevel });
  warnings.forEach((warning) => log.warn(warning));
  const service = await createService(config, log);
  let app: App;
  try {
    app = await createApp(config, service, log);
    await app.http.listen({ port: config.port, host: config.host });
  } catch (error) {
    // Otherwise the workers would keep the process alive.
    await service.close();
    throw error;
  }
  log.info(
    {
      url: app.http.listeningOrigin,
      version: VERSION,
      device: deviceNames(service.device.devices),
      engine: config.engine,
      provider: service.pool.provider,
      layout: config.layout,
      workers: service.pool.size,
      threads: config.threads,
      decoders: config.decoders,
      model: service.registry.defaultName,
      startMs: Math.round(performance.now() - started),
    },
    'ready',
  );

  let stopping = false;
  async function stop(signal: NodeJS.Signals): Promise<void> {
    // A kill, not an exit: exiting while an engine runs aborts the process, and a second signal asks for a kill anyway.
    if (stopping) process.kill(process.pid, 'SIGKILL');
    stopping = true;
    log.info({ signal }, 'draining');
    app.markDraining();
    await sleep(config.drainDelayMs);
    const patience = setTimeout(() => {
      log.warn('the drain timeout has passed: hanging up on the clients that are left');
      process.exitCode = 1;
      app.hangUp();
    }, config.drainTimeoutMs);
    try {
      await app.close();
      log.info('stopped');
    } catch (error) {
      log.error({ err: error }, 'the stop failed');
      process.exitCode = 1;
    }
    clearTimeout(patience);
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, (received) => void stop(received));
}
