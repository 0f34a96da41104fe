/**
 * The metrics as text, in either format of Prometheus. OpenMetrics has exemplars: beside a count, the trace of one of the
 * requests that it counts.
 *
 * A registry of prom-client has one format, and writing OpenMetrics takes `_total` off the names of its counters for ever. So
 * each text is written by a registry of views, and the metrics keep their names.
 */
import { Registry, type Metric, type RegistryContentType } from 'prom-client';

export const FORMATS = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const;

export type Format = keyof typeof FORMATS;

export interface Exposition {
  readonly body: string;
  readonly contentType: string;
}

/** What prom-client asks of a metric when it writes it; the package's types do not have all of it. */
interface Readable {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  get(): Promise<object>;
  getForPromString?(): Promise<object>;
}

/** Metrics with exemplars must be in a registry of the OpenMetrics format, and can be written in both. */
export async function expose(registry: Registry<RegistryContentType>, format: Format): Promise<Exposition> {
  const view = new Registry<RegistryContentType>();
  view.setContentType(FORMATS[format]);
  for (const metric of registry.getMetricsAsArray() as unknown as readonly Readable[]) {
    const { help, type } = metric;
    const name = format === 'openmetrics' && type === 'counter' ? metric.name.replace(/_total$/, '') : metric.name;
    const get = async (): Promise<object> => ({ ...(await (metric.getForPromString?.() ?? metric.get())), name });
    view.registerMetric({ name, help, type, get } as unknown as Metric);
  }
  return { body: await view.metrics(), contentType: view.contentType };
}
