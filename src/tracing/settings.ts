/**
 * Whether there are traces, and where they go: the variables that OpenTelemetry has for all programs. Those that this
 * server itself acts on are checked here; the exporter and the resource read theirs (headers, certificates, time limits,
 * attributes). An empty variable counts as none.
 *
 * Source: OpenTelemetry, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
 */
import { UsageError } from '../errors.js';

export interface TraceSettings {
  /** Where the spans go, for the log: without a user's name and password. */
  readonly endpoint: string;
  readonly sampler: SamplerSettings;
  /** Callers' traces are continued. */
  readonly takesContext: boolean;
  /** Spans that wait to be sent, at most. */
  readonly maxWaiting: number;
}

export interface SamplerSettings {
  /** A request of a caller's trace is sampled if the caller's span is. */
  readonly isParentBased: boolean;
  /** The part of the other requests that is sampled, from 0 to 1. */
  readonly ratio: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = 'http://localhost:4318';
const DEFAULT_MAX_WAITING = 2048;
/** More would not be bounded by anything that a server can spare: 2 KB each. */
const MOST_WAITING = 65_536;

/**
 * Undefined: there are no traces. `OTEL_TRACES_EXPORTER=otlp` or an endpoint switches them on, `none` and
 * `OTEL_SDK_DISABLED=true` off. Throws UsageError for a value that this server does not take.
 */
export function readTraceSettings(environment: Environment): TraceSettings | undefined {
  const read = (...names: string[]): { readonly name: string; readonly text: string } | undefined => {
    for (const name of names) {
      const text = environment[name]?.trim() ?? '';
      if (text !== '') return { name, text };
    }
    return undefined;
  };
  if (read('OTEL_SDK_DISABLED')?.text.toLowerCase() === 'true') return undefined;
  const endpoint = read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT');
  const exporter = read('OTEL_TRACES_EXPORTER');
  if (exporter === undefined ? endpoint === undefined : wordOf(exporter) === 'none') return undefined;
  if (exporter !== undefined && wordOf(exporter) !== 'otlp') throw wrong(exporter, 'takes otlp or none');

  const protocol = read('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL');
  if (protocol !== undefined && wordOf(protocol) !== 'http/protobuf')
    throw wrong(protocol, 'takes http/protobuf alone');
  const waiting = read('OTEL_BSP_MAX_QUEUE_SIZE');
  return {
    endpoint: originOf(endpoint ?? { name: '', text: DEFAULT_ENDPOINT }),
    sampler: samplerOf(read('OTEL_TRACES_SAMPLER'), read('OTEL_TRACES_SAMPLER_ARG')),
    takesContext: takesContext(read('OTEL_PROPAGATORS')),
    maxWaiting: waiting === undefined ? DEFAULT_MAX_WAITING : numberIn(waiting, 1, MOST_WAITING),
  };
}

interface Given {
  readonly name: string;
  readonly text: string;
}

/** Words of the standard are the same in capital letters. */
function wordOf({ text }: Given): string {
  return text.toLowerCase();
}

/** Each of the standard's samplers that need no other program. */
const SAMPLERS: Readonly<Record<string, { readonly isParentBased: boolean; readonly ratio: number | undefined }>> = {
  always_on: { isParentBased: false, ratio: 1 },
  always_off: { isParentBased: false, ratio: 0 },
  traceidratio: { isParentBased: false, ratio: undefined },
  parentbased_always_on: { isParentBased: true, ratio: 1 },
  parentbased_always_off: { isParentBased: true, ratio: 0 },
  parentbased_traceidratio: { isParentBased: true, ratio: undefined },
};

function samplerOf(sampler: Given | undefined, argument: Given | undefined): SamplerSettings {
  const known = SAMPLERS[sampler === undefined ? 'parentbased_always_on' : wordOf(sampler)];
  if (known === undefined) throw wrong(sampler!, `takes ${Object.keys(SAMPLERS).join(', ')}`);
  const { isParentBased, ratio } = known;
  return { isParentBased, ratio: ratio ?? (argument === undefined ? 1 : numberIn(argument, 0, 1)) };
}

const PROPAGATORS = ['tracecontext', 'baggage', 'none'];

/** Baggage is taken and not read: nothing here asks for it. */
function takesContext(propagators: Given | undefined): boolean {
  if (propagators === undefined) return true;
  const names = wordOf(propagators)
    .split(',')
    .map((name) => name.trim());
  if (!names.every((name) => PROPAGATORS.includes(name))) throw wrong(propagators, `takes ${PROPAGATORS.join(', ')}`);
  return names.includes('tracecontext') && !names.includes('none');
}

function originOf(endpoint: Given): string {
  const url = URL.canParse(endpoint.text) ? new URL(endpoint.text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${endpoint.name}: must be an address, such as ${DEFAULT_ENDPOINT}`);
  }
  return url.origin;
}

function numberIn(given: Given, least: number, most: number): number {
  const value = Number(given.text);
  if (!(value >= least && value <= most)) throw wrong(given, `takes a number from ${least} to ${most}`);
  return value;
}

function wrong({ name, text }: Given, takes: string): UsageError {
  return new UsageError(`${name}=${text}: it ${takes}; OTEL_TRACES_EXPORTER=none switches traces off`);
}
