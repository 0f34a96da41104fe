/**
 * The process: start the service, listen, and end well. On SIGTERM, SIGINT or SIGHUP readiness turns false at once; after
 * the drain delay (for a load balancer to notice) new requests are refused, those in flight are answered, and the process
 * ends by itself with code 0. After the drain timeout it hangs up on clients that do not read their answers and ends
 * with code 1, as it does if the stop itself fails. A second signal kills it. A signal before it listens ends it at once.
 *
 * Nothing that happens to the log ends the process or makes it wait. An exception that nobody caught drains it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { checkSettings, createApp, createService, type App, type Service } from './app.js';
import type { Config } from './config.js';
import { deviceNames } from './device.js';
import { whyUnwritable } from './files.js';
import { openLog, STANDARD_OUTPUT, type Log } from './log.js';
import { connectionLimit } from './open-files.js';
import { startTracing } from './tracing/open-telemetry.js';
import type { Tracing } from './tracing/request-trace.js';
import { readTraceSettings } from './tracing/settings.js';
import { VERSION } from './version.js';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** A terminal and a program that passes signals on (npm) send the same one at the same time: it is one. */
const SAME_SIGNAL_MS = 1000;

/** How long the end may take after the drain timeout. */
const LAST_STEPS_MS = 5000;

/** Fewer connections than this are worth a warning. */
const FEW_CONNECTIONS = 256;

/**
 * Serve until a signal comes. Resolves when the server listens. Rejects if it cannot start. `warnings` about the
 * settings go to the log, which the settings have set up. `models` are paths of models beside those in the folder of models.
 */
export async function serve(
  config: Config,
  { warnings = [], models = [] }: { readonly warnings?: readonly string[]; readonly models?: readonly string[] } = {},
): Promise<void> {
  let service: Service | undefined;
  const log = openLog(config.logLevel, STANDARD_OUTPUT, () => service?.metrics.observeLogLineDropped());
  const { logger } = log;
  logWarnings(logger);
  let onSignal = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'stopped before it was ready');
    void end(log, 0);
  };
  for (const signal of SIGNALS) process.removeAllListeners(signal).on(signal, (received) => onSignal(received));
  try {
    const started = performance.now();
    warnings.forEach((warning) => logger.warn(warning));
    for (const warning of await checkSettings(config)) logger.warn(warning);
    await warnOfCache(config, logger);
    const traces = readTraceSettings(process.env);
    const tracing =
      traces === undefined ? undefined : await startTracing({ settings: traces, version: VERSION, log: logger });
    service = await createService(config, logger, { models });
    const app = await listen(config, service, logger, tracing);
    logger.info(
      {
        url: app.http.listeningOrigin,
        adminPort: app.adminPort(),
        version: VERSION,
        device: deviceNames(service.device.devices),
        engine: service.engine,
        provider: service.pool.provider,
        layout: config.layout,
        workers: service.pool.size,
        threads: config.threads,
        decoders: config.decoders,
        model: service.registry.defaultName,
        traces: traces?.endpoint,
        startMs: Math.round(performance.now() - started),
      },
      'ready',
    );
    onSignal = stopOnce(config, app, log, tracing);
  } catch (error) {
    // Otherwise lines that nobody reads would keep the process alive.
    await log.close();
    throw error;
  }
}

/** Rejects with UnavailableError, and with the service closed, if the address cannot be had. */
async function listen(config: Config, service: Service, logger: Logger, tracing: Tracing | undefined): Promise<App> {
  const { port, host, renderers } = config;
  try {
    const app = await createApp(config, service, logger, { tracing });
    const connections = connectionLimit(renderers);
    const { server } = app.http;
    server.maxConnections = Math.min(server.maxConnections || Number.POSITIVE_INFINITY, connections);
    if (connections < FEW_CONNECTIONS) {
      logger.warn({ connections }, 'few files may be open (ulimit -n): connections beyond this number are closed');
    }
    await app.listen({ port, host });
    // A connection that could not be accepted. Without a listener this would be an exception.
    server.on('error', (error) => logger.error({ err: error }, 'a connection could not be accepted'));
    return app;
  } catch (error) {
    // Otherwise the workers would keep the process alive.
    await service.close();
    throw error;
  }
}

/** What a signal does to a server that listens. */
function stopOnce(config: Config, app: App, log: Log, tracing: Tracing | undefined): (signal: NodeJS.Signals) => void {
  const { logger } = log;
  let stoppingSince: number | undefined;
  let exitCode = 0;

  async function stop(): Promise<void> {
    stoppingSince = performance.now();
    app.markDraining();
    await sleep(config.drainDelayMs);
    setTimeout(() => {
      logger.warn('the drain timeout has passed: hanging up on the clients that are left');
      exitCode = 1;
      app.hangUp();
      setTimeout(() => {
        logger.error('the stop takes too long');
        void end(log, 1);
      }, LAST_STEPS_MS);
    }, config.drainTimeoutMs);
    try {
      await app.close();
      await tracing?.close();
      logger.info('stopped');
    } catch (error) {
      logger.error({ err: error }, 'the stop failed');
      exitCode = 1;
    }
    await end(log, exitCode);
  }

  process.on('unhandledRejection', (reason) => logger.error({ err: reason }, 'a failure that nobody waited for'));
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: error }, 'an exception that nobody caught: draining');
    exitCode = 1;
    if (stoppingSince === undefined) void stop();
  });
  return (signal) => {
    if (stoppingSince === undefined) {
      logger.info({ signal }, 'draining');
      void stop();
    } else if (signal !== 'SIGHUP' && performance.now() - stoppingSince > SAME_SIGNAL_MS) {
      kill();
    }
  };
}

/** End the process, the lines of the log written. */
async function end(log: Log, code: number): Promise<void> {
  if (!(await log.close())) kill();
  process.exit(code);
}

/** The workers end when they find that this process is gone. */
function kill(): never {
  process.kill(process.pid, 'SIGKILL');
  // The kernel does not let the first process of a container kill itself.
  process.exit(128 + 9);
}

/** Node writes its warnings to the standard error, and waits until somebody reads them. */
function logWarnings(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => logger.warn({ err: warning }, 'a warning of Node'));
}

async function warnOfCache({ cache }: Config, logger: Logger): Promise<void> {
  const reason = await whyUnwritable(cache);
  if (reason === undefined) return;
  const loss = 'each start prepares large models anew, and they take more memory';
  logger.warn(`FULLCONV_CACHE=${cache}: nothing can be kept there (${reason.message}): ${loss}`);
}
