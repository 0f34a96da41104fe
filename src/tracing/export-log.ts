/**
 * What the log says of a collector that takes no spans: the first failure, then one line a minute with the number of spans that
 * were lost since, and one line when spans arrive again.
 */

/** Between two lines about failures. */
const QUIET_MS = 60_000;

export interface ExportLog {
  sent(): void;
  failed(spans: number, error: Error | undefined): void;
}

export interface LogSink {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

/** `now` is in milliseconds; default: `performance.now()`. */
export function createExportLog(
  log: LogSink,
  endpoint: string,
  now: () => number = () => performance.now(),
): ExportLog {
  let lost = 0;
  let saidAt: number | undefined;
  return {
    sent() {
      if (saidAt === undefined) return;
      log.info({ endpoint, lost }, 'spans are taken again');
      saidAt = undefined;
      lost = 0;
    },
    failed(spans, error) {
      lost += spans;
      if (saidAt !== undefined && now() - saidAt < QUIET_MS) return;
      saidAt = now();
      log.warn({ endpoint, lost, why: whyOf(error) }, 'the collector did not take the spans of traces');
      lost = 0;
    },
  };
}

/** Without what the collector answered, which may be anything. */
function whyOf(error: (Error & { readonly code?: unknown }) | undefined): string {
  if (error === undefined) return 'unknown';
  const { message, code } = error;
  return [code, message]
    .filter((part) => typeof part === 'number' || (typeof part === 'string' && part !== ''))
    .join(' ');
}
