/**
 * Settings. One table has each setting's environment variable, flag, type, default and meaning. The flags of the
 * command line, the text of `fullconv serve --help` and docs/settings.md are made from it (`npm run settings`). Every
 * value is validated once, here, with a message that names the variable; the rest of the program trusts the resulting
 * object.
 */
import { BlockList, isIP } from 'node:net';
import { homedir, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { z } from 'zod';
import { coreCount } from './cores.js';
import { UsageError } from './errors.js';
import { DEFAULT_ENGINE, ENGINE_NAMES, ENGINES } from './runtime/engines.js';
import { parseDevices } from './runtime/parse-devices.js';
import { PRECISION_WISHES } from './runtime/session.js';

const MIB = 1024 * 1024;

const CORES = coreCount();
const EMBEDDED_MODELS = fileURLToPath(new URL('../models', import.meta.url));
/** Nothing can be kept below this path: the cache of a user who has no home. */
const NO_FOLDER = '/dev/null';
/** An empty variable counts as none. Source: XDG Base Directory Specification. */
const USER_CACHES = (process.env['XDG_CACHE_HOME'] ?? '') === '' ? undefined : process.env['XDG_CACHE_HOME'];
const CACHE = join(USER_CACHES ?? join(homeFolder() ?? NO_FOLDER, '.cache'), 'fullconv');

/** Undefined for a user who is not in the system's list (any number, in a container), where HOME is not set either. */
function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

const list = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',').filter((part) => part !== '') : value),
  z.array(z.string()),
);
/** As people write it, with or without an exponent. JavaScript would take more for a number: 0x50, and blanks for 0. */
const DECIMAL = /^-?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
const decimal = <T extends z.ZodType<number>>(schema: T) =>
  z.preprocess((text) => (typeof text === 'string' && DECIMAL.test(text) ? Number(text) : text), schema);
const number = z.number({
  error: ({ expected }) => (expected === 'number' ? 'must be a number in decimal, e.g. 10' : undefined),
});
const count = (minimum: number, maximum: number) => decimal(number.int().min(minimum).max(maximum));
/** A setting whose default is empty: there is no value then, e.g. to leave the choice to the device. */
const optional = (schema: z.ZodType<number>) =>
  z.preprocess((value) => (value === '' ? undefined : value), schema.optional());
const color = z
  .string()
  .regex(/^#?[0-9a-f]{6}$/i, 'must be six hexadecimal digits, e.g. ffffff')
  .transform((hex) => parseInt(hex.replace('#', ''), 16))
  .transform((value) => ({ r: value >> 16, g: (value >> 8) & 255, b: value & 255 }));

/** British, because American English has a comma before the last one. */
const OR = new Intl.ListFormat('en-GB', { type: 'disjunction' });

/** Whether it is an origin as browsers write it: in lower case, without the default port of its scheme. */
function isOrigin(text: string): boolean {
  return /^https?:[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

/** Addresses and subnets, as something to look an address up in. */
function toBlockList(entries: readonly string[], context: z.RefinementCtx): BlockList {
  const blocks = new BlockList();
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    try {
      if (prefix === undefined) blocks.addAddress(address, family);
      else blocks.addSubnet(address, /^\d+$/.test(prefix) ? Number(prefix) : NaN, family);
    } catch {
      context.addIssue(`"${entry}" is not an address or a subnet; those are written 10.0.0.7 and 10.1.0.0/16`);
    }
  }
  return blocks;
}

/** A host, or all below one, that images may be fetched from. */
export interface UrlHost {
  /** Absent: both. */
  readonly scheme: 'http' | 'https' | undefined;
  /** In lower case; IPv6 addresses in brackets. */
  readonly name: string;
  readonly hasSubdomains: boolean;
  /** Absent: the one of the scheme. */
  readonly port: string | undefined;
}

const URL_HOST = /^(?:(https?):\/\/)?(\*\.)?([^:/?#@*\s[\]]+|\[[\da-f:.]+\])(?::(\d{1,5}))?$/i;

function toUrlHosts(entries: readonly string[], context: z.RefinementCtx): UrlHost[] {
  return entries.flatMap((entry) => {
    const [, scheme, wildcard, host = '', port] = URL_HOST.exec(entry) ?? [];
    const address = `http://${host}/`;
    const name = URL.canParse(address) ? new URL(address).hostname : '';
    const isAddress = name.startsWith('[') || isIP(name) !== 0;
    if (host === '' || name === '' || Number(port ?? 1) > 65_535 || (wildcard !== undefined && isAddress)) {
      context.addIssue(
        `"${entry}" is not a host; those are written images.example.com, *.example.com, https://example.com or example.com:8080`,
      );
      return [];
    }
    return [
      {
        scheme: scheme?.toLowerCase() as UrlHost['scheme'],
        name,
        hasSubdomains: wildcard !== undefined,
        port: port === undefined ? undefined : String(Number(port)),
      },
    ];
  });
}

/** What engines add to the meaning of a setting. */
function notesOf(setting: 'engine' | 'workers' | 'threads'): readonly string[] {
  return ENGINES.flatMap(({ notes }) => notes?.[setting] ?? []);
}

/** The kinds of devices of the standard engine, and in brackets those of the others. */
function describeKinds(): string {
  const [standard, ...others] = ENGINES.map(({ name, kinds }) => ({ name, kinds: OR.format(kinds) }));
  return `${standard!.kinds} (${others.map(({ name, kinds }) => `engine ${name}: ${kinds}`).join('; ')})`;
}

/** Bytes that this process and its children may have: the container's limit, if there is one. */
function availableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

/** Characters of a key that signs: 16 at random are 96 bits. */
const MIN_KEY = 16;

const LAYOUTS = ['throughput', 'latency'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** The settings in the order `--help` shows them. `variable` is also the flag: FULLCONV_MAX_BYTES is `--max-bytes`. */
const SETTINGS = {
  port: { variable: 'PORT', schema: count(0, 65535), default: '8080', about: 'TCP port; 0 takes a free one' },
  host: { variable: 'HOST', schema: z.string().min(1), default: '127.0.0.1', about: 'address to listen on' },
  models: {
    variable: 'FULLCONV_MODELS',
    schema: z.string().min(1),
    default: EMBEDDED_MODELS,
    defaultInWords: 'the embedded models',
    about: 'folder of models, one folder or file each, or a folder that is one model',
  },
  defaultModel: {
    variable: 'FULLCONV_DEFAULT_MODEL',
    schema: z.string(),
    default: '',
    about: 'model for requests that name none; empty: the one whose manifest says so, otherwise the first',
  },
  defaultAlias: {
    variable: 'FULLCONV_DEFAULT_ALIAS',
    schema: z.string().regex(/^([a-z0-9][a-z0-9._-]{0,127})?$/i, 'must be a name of a model'),
    default: '',
    about: 'another name for that model, where no model has it; KServe asks by the name of the InferenceService',
  },
  modelMemory: {
    variable: 'FULLCONV_MODEL_MEMORY',
    schema: optional(decimal(number.positive().max(2 ** 31 - 1))),
    default: '',
    about:
      'megabytes that all loaded models together may take; beyond it those used longest ago are unloaded, and are loaded when they are asked for; empty: all are loaded at the start, and stay',
  },
  watch: {
    variable: 'FULLCONV_WATCH',
    schema: decimal(number.min(0).max(86_400)),
    default: '0',
    about:
      'seconds between two looks at the folder of models, to load what is new there or has changed, and to unload what is gone; 0: it is not looked at again',
  },
  untrained: {
    variable: 'FULLCONV_UNTRAINED',
    schema: list,
    default: '',
    about: 'architectures to serve with generated weights, for load tests, e.g. resnet50,vgg16',
  },
  cache: {
    variable: 'FULLCONV_CACHE',
    schema: z.string().min(1),
    default: CACHE,
    defaultInWords: '`fullconv` in `$XDG_CACHE_HOME`, otherwise in `~/.cache`',
    about:
      'folder for generated and converted weights, whose size has no limit, for models that were optimized or imported, and for measurements of models',
  },
  cacheMb: {
    variable: 'FULLCONV_CACHE_MB',
    schema: count(0, 2 ** 31 - 1),
    default: '10240',
    about:
      'limit in megabytes for large models kept there as the engine optimized them for this machine, and the same again for imported ones; 0: none are kept after their use',
  },
  engine: {
    variable: 'FULLCONV_ENGINE',
    schema: z.enum(['auto', ...ENGINE_NAMES]),
    default: 'auto',
    about: [
      `inference engine: ${OR.format(['auto', ...ENGINE_NAMES])}; auto: ${DEFAULT_ENGINE.name}, or on the CPU an installed one that is faster`,
      ...notesOf('engine'),
    ].join('; '),
  },
  openvino: {
    variable: 'FULLCONV_OPENVINO',
    schema: z.string(),
    default: '',
    about: 'the folder where OpenVINO is installed; empty: it is looked for',
  },
  precision: {
    variable: 'FULLCONV_PRECISION',
    schema: z.enum(PRECISION_WISHES),
    default: 'auto',
    about:
      'precision of nets that are not quantized: auto, fp32 or bf16; auto: bf16 where engine and processor are faster in it and the logits stay the same within 1 % of the largest; model.json may say it for one model',
  },
  device: {
    variable: 'FULLCONV_DEVICE',
    schema: list.transform((names, context) => {
      try {
        return parseDevices(names);
      } catch (error) {
        context.addIssue((error as Error).message);
        return z.NEVER;
      }
    }),
    default: 'auto',
    about: `${describeKinds()}, or several as cuda:0,cuda:1; auto: a GPU if there is one and it is faster`,
  },
  layout: {
    variable: 'FULLCONV_LAYOUT',
    schema: z.enum(LAYOUTS),
    default: 'throughput',
    about: 'throughput: a worker for each core; latency: one worker whose operators use all cores',
  },
  workers: {
    variable: 'FULLCONV_WORKERS',
    schema: optional(count(1, 256)),
    default: '',
    about: `inference workers for each device, a process each (with OpenVINO up to four share one); empty: one for each core on the CPU, with layout latency 1, and ${['1 on a GPU', ...notesOf('workers')].join(' or ')}`,
  },
  threads: {
    variable: 'FULLCONV_THREADS',
    schema: count(1, 256),
    default: '1',
    about: [
      'threads inside one operator, for each worker; with layout latency one for each core',
      ...notesOf('threads'),
    ].join('; '),
  },
  decoders: {
    variable: 'FULLCONV_DECODERS',
    schema: count(1, 256),
    // More than cores, because an image passes through several threads, and waits for each on a busy machine.
    default: String(2 * CORES),
    defaultInWords: 'two for each core',
    about:
      'images decoded at the same time; beside a GPU more than four are decoded in processes of their own, four in each',
  },
  renderers: {
    variable: 'FULLCONV_RENDERERS',
    schema: count(1, 256),
    default: String(CORES),
    defaultInWords: 'one for each core',
    about: 'pictures drawn at the same time, each with the pixels of its photo in memory',
  },
  maxBatch: {
    variable: 'FULLCONV_MAX_BATCH',
    schema: optional(count(1, 1024)),
    default: '',
    about: 'images in one batch; empty: 8 on the CPU, 32 on a GPU',
  },
  maxBatchGmacs: {
    variable: 'FULLCONV_MAX_BATCH_GMACS',
    formerly: 'FULLCONV_MAX_BATCH_GFLOPS',
    schema: optional(decimal(number.positive())),
    default: '',
    about: 'GMAC (10⁹ multiply-adds) in one batch; one image always goes; empty: 64 on the CPU, 256 on a GPU',
  },
  shapeCopiesMb: {
    variable: 'FULLCONV_SHAPE_COPIES_MB',
    schema: count(0, 2 ** 31 - 1),
    default: '2048',
    about:
      "megabytes of a CUDA device, for each worker, for copies of models' weights with which changing shapes are not planned anew; 0: no copies",
  },
  maxQueue: {
    variable: 'FULLCONV_MAX_QUEUE',
    schema: count(1, 100_000),
    default: '256',
    about: 'passes (images × scales × mirrors) in the server at once; further requests are refused with 503',
  },
  maxImages: {
    variable: 'FULLCONV_MAX_IMAGES',
    schema: count(1, 10_000),
    default: '64',
    about: 'images, or images × scales, in one request',
  },
  maxBytes: {
    variable: 'FULLCONV_MAX_BYTES',
    schema: count(1, 4096 * MIB),
    default: String(32 * MIB),
    about: 'bytes of one request body',
  },
  maxBodiesBytes: {
    variable: 'FULLCONV_MAX_BODIES_BYTES',
    schema: count(1, 1024 * 1024 * MIB),
    default: String(512 * MIB),
    about:
      'bytes of all request bodies in memory at once; further requests are refused with 503, and with 429 those of an address that holds as many as are free beside it',
  },
  maxAnswersBytes: {
    variable: 'FULLCONV_MAX_ANSWERS_BYTES',
    schema: count(1, 1024 * 1024 * MIB),
    default: String(512 * MIB),
    about: 'bytes of large answers that wait for their clients; beyond it, clients that take nothing are hung up on',
  },
  responseCacheMb: {
    variable: 'FULLCONV_RESPONSE_CACHE_MB',
    schema: count(0, 1024 * 1024),
    default: '0',
    about:
      'megabytes for answers that are kept for those who ask the same of the same images; with them, what is asked twice at once is computed once; 0: none are kept',
  },
  minRate: {
    variable: 'FULLCONV_MIN_RATE',
    schema: count(0, 2 ** 31 - 1),
    default: '1000',
    about:
      'bytes a second that a client must send of a body and take of an answer, on average over 10 and 30 s; 0: any',
  },
  maxConnections: {
    variable: 'FULLCONV_MAX_CONNECTIONS',
    schema: count(1, 1_000_000),
    default: '4096',
    about: 'open connections; further ones are refused with 503',
  },
  maxConnectionsPerAddress: {
    variable: 'FULLCONV_MAX_CONNECTIONS_PER_ADDRESS',
    schema: count(1, 1_000_000),
    default: '2048',
    about: 'open connections from one address; further ones are refused with 429',
  },
  trustedProxies: {
    variable: 'FULLCONV_TRUSTED_PROXIES',
    schema: list.transform(toBlockList),
    default: '',
    about:
      'addresses of proxies, e.g. 10.0.0.7,10.1.0.0/16: what they say of their clients in X-Forwarded-For or Forwarded is believed, and their connections are not limited by address; empty: none',
  },
  requestTimeoutMs: {
    variable: 'FULLCONV_REQUEST_TIMEOUT_MS',
    schema: count(1, 3_600_000),
    default: '60000',
    about: 'longest time for a request to arrive, headers and body',
  },
  maxPixels: {
    variable: 'FULLCONV_MAX_PIXELS',
    schema: count(1, 2 ** 31 - 1),
    default: '50000000',
    about: 'pixels of one photo, checked on its header',
  },
  maxDecodeSeconds: {
    variable: 'FULLCONV_MAX_DECODE_SECONDS',
    schema: decimal(number.positive()),
    default: '20',
    about:
      'processor seconds that decoding one photo may take, estimated from its header; beyond it the photo is refused',
  },
  maxDrawSeconds: {
    variable: 'FULLCONV_MAX_DRAW_SECONDS',
    schema: decimal(number.positive()),
    default: '30',
    about:
      'processor seconds that drawing one picture may take, estimated from its size and format; beyond it the picture is refused',
  },
  maxInputPixels: {
    variable: 'FULLCONV_MAX_INPUT_PIXELS',
    schema: count(1, 2 ** 31 - 1),
    default: String(2240 * 2240),
    about: 'pixels of one network input',
  },
  memoryMb: {
    variable: 'FULLCONV_MEMORY_MB',
    schema: count(16, 2 ** 31 - 1),
    default: String(Math.max(64, Math.floor((0.3 * availableMemory()) / MIB))),
    defaultInWords: "three tenths of the machine's memory, or of the container's limit",
    about:
      'megabytes that all runs together may take for decoding, pixels and activations, and all drawings; drawings at most half of it',
  },
  maxPriority: {
    variable: 'FULLCONV_MAX_PRIORITY',
    schema: count(-100, 100),
    default: '0',
    about: 'highest priority that a request gets, whatever it asks for',
  },
  deadlineMs: {
    variable: 'FULLCONV_DEADLINE_MS',
    schema: count(1, 3_600_000),
    default: '30000',
    about: 'longest time for one answer; a request may ask for less',
  },
  background: {
    variable: 'FULLCONV_BACKGROUND',
    schema: color,
    default: 'ffffff',
    about: 'colour behind transparent pixels',
  },
  playground: {
    variable: 'FULLCONV_PLAYGROUND',
    schema: z.enum(['true', 'false']).transform((text) => text === 'true'),
    default: 'true',
    about: 'serve the playground at / and the description of the API at /docs: true or false',
  },
  corsOrigins: {
    variable: 'FULLCONV_CORS_ORIGINS',
    schema: list.transform((origins, context) => {
      const wrong = origins.find((origin) => origin !== '*' && !isOrigin(origin));
      if (wrong !== undefined) {
        context.addIssue(
          `"${wrong}" is not an origin; an origin is a scheme and a host without a path, e.g. https://example.com`,
        );
        return z.NEVER;
      }
      if (origins.length > 1 && origins.includes('*')) {
        context.addIssue('* means every origin, and must stand alone');
        return z.NEVER;
      }
      return origins;
    }),
    default: '',
    about:
      'origins whose pages may ask this API from a browser, e.g. https://example.com,http://localhost:5173; *: all; empty: only its own',
  },
  allowedHosts: {
    variable: 'FULLCONV_ALLOWED_HOSTS',
    schema: list.transform((names) => names.map((name) => name.toLowerCase())),
    default: '',
    about:
      'names under which this server may be asked, e.g. images.example.com; names without a dot and addresses always may; *: any; empty: any, unless HOST is this machine alone',
  },
  urlHosts: {
    variable: 'FULLCONV_URL_HOSTS',
    schema: list.transform(toUrlHosts),
    default: '',
    about:
      'hosts that images are fetched from for GET /v1/…?url=, e.g. images.example.com,*.example.com,https://example.org,example.net:8080; only their public addresses; empty: none',
  },
  urlPrivateHosts: {
    variable: 'FULLCONV_URL_PRIVATE_HOSTS',
    schema: list.transform(toUrlHosts),
    default: '',
    about: 'such hosts that may have addresses of an internal network, or of this machine, too; empty: none',
  },
  urlKeys: {
    variable: 'FULLCONV_URL_KEYS',
    schema: list.transform((keys, context) => {
      if (keys.length > 2) context.addIssue('there may be two keys, a new one and the one before it');
      if (keys.some((key) => key.length < MIN_KEY)) context.addIssue(`a key must have at least ${MIN_KEY} characters`);
      return keys;
    }),
    isSecret: true,
    default: '',
    about:
      'keys that sign addresses of GET /v1/…?url=, the new one and the one before it: NEW,OLD, each of at least 16 characters; only signed ones are answered then; empty: all are',
  },
  maxFetches: {
    variable: 'FULLCONV_MAX_FETCHES',
    schema: count(1, 10_000),
    default: '64',
    about:
      'images that are fetched from URLs at once; of one host, and for one address, as many as are free beside them',
  },
  adminPort: {
    variable: 'FULLCONV_ADMIN_PORT',
    schema: optional(count(0, 65535)),
    default: '',
    about:
      'port of a listener of its own for loading, unloading and metrics, which then answer nowhere else; 0 takes a free one; empty: none',
  },
  adminHost: {
    variable: 'FULLCONV_ADMIN_HOST',
    schema: z.string().min(1),
    default: '127.0.0.1',
    about: 'address that FULLCONV_ADMIN_PORT listens on',
  },
  tlsCert: {
    variable: 'FULLCONV_TLS_CERT',
    schema: z.string(),
    default: '',
    about: 'file of the certificate in PEM, its chain behind it: all listeners speak TLS then; empty: plain HTTP',
  },
  tlsKey: {
    variable: 'FULLCONV_TLS_KEY',
    schema: z.string(),
    default: '',
    about: 'file of the key of FULLCONV_TLS_CERT, in PEM, without a passphrase',
  },
  basePath: {
    variable: 'FULLCONV_BASE_PATH',
    schema: z
      .string()
      .regex(/^((\/[\w~-][\w.~-]*)+\/?)?$/, 'must be a path such as /some/prefix')
      .transform((path) => path.replace(/\/$/, '')),
    default: '',
    about:
      'path below which everything answers, for a proxy that passes it on, e.g. /some/prefix; empty: none, also for a proxy that takes it away',
  },
  adminToken: {
    variable: 'FULLCONV_ADMIN_TOKEN',
    schema: z.string(),
    default: '',
    about:
      'bearer token for loading and unloading models; empty: both are off, unless FULLCONV_KEYS has a key for them',
  },
  keys: {
    variable: 'FULLCONV_KEYS',
    schema: z.string(),
    default: '',
    about:
      'file of keys, without which nothing is answered then; `fullconv key` writes it; empty: no keys are asked for',
  },
  apiKey: {
    variable: 'FULLCONV_API_KEY',
    schema: z.string(),
    default: '',
    about: 'key that commands with --server send; better as a variable: other users see flags',
  },
  drainDelayMs: {
    variable: 'FULLCONV_DRAIN_DELAY_MS',
    schema: count(0, 600_000),
    default: '0',
    about: 'on SIGTERM, time between "not ready" and refusing new work',
  },
  drainTimeoutMs: {
    variable: 'FULLCONV_DRAIN_TIMEOUT_MS',
    schema: count(1, 3_600_000),
    default: '60000',
    about: 'on SIGTERM, longest wait for work in flight',
  },
  logLevel: { variable: 'FULLCONV_LOG_LEVEL', schema: z.enum(LOG_LEVELS), default: 'info', about: 'pino log level' },
} as const satisfies Record<string, Setting>;

interface Setting {
  variable: string;
  /** The variable's old name. It and its flag are accepted for one more version. */
  formerly?: string;
  schema: z.ZodType;
  default: string;
  /** For the documents: a default that depends on the machine. */
  defaultInWords?: string;
  about: string;
  /** Its value is in no message. */
  isSecret?: true;
}

export type SettingName = keyof typeof SETTINGS;

/** The validated settings; see `--help` for what each means. */
export type Config = { readonly [K in SettingName]: z.output<(typeof SETTINGS)[K]['schema']> };

/** A wrong setting: the message names the variable and what it takes. The process should stop. */
export class ConfigError extends UsageError {
  override name = 'ConfigError';
}

/**
 * Name, environment variable, flag, default, meaning and old names of each setting, for help texts, flags and
 * documents.
 */
export const SETTING_LIST = (Object.entries(SETTINGS) as [SettingName, Setting][]).map(([name, setting]) => ({
  name,
  variable: setting.variable,
  flag: flagOf(setting.variable),
  default: setting.default,
  defaultInWords: setting.defaultInWords,
  about: setting.about,
  ...(setting.formerly === undefined
    ? {}
    : { formerly: { variable: setting.formerly, flag: flagOf(setting.formerly) } }),
}));

function flagOf(variable: string): Flag {
  return `--${variable.replace('FULLCONV_', '').toLowerCase().replaceAll('_', '-')}`;
}

type Flag = `--${string}`;

/** Flags as they were given, still text: by the setting's name, or by the flag itself if the name is old. */
export type SettingFlags = Partial<Record<SettingName | Flag, string>>;

/** Defaults of the layout for the latency of one image. */
const LATENCY_LAYOUT: Partial<Record<SettingName, string>> = { workers: '1', threads: String(CORES) };

/**
 * Variables that Kubernetes puts into every container beside a service: of one called fullconv-canary,
 * FULLCONV_CANARY_SERVICE_HOST and others. They are not settings. Their values tell them from a misspelt setting, such as
 * FULLCONV_PORT=8080. Source: Kubernetes, "Discovering services: environment variables".
 */
const SERVICE_LINKS: readonly { readonly name: RegExp; readonly isValue: (text: string) => boolean }[] = [
  { name: /_SERVICE_HOST$/, isValue: (text) => isIP(text) !== 0 },
  { name: /_SERVICE_PORT(_[A-Z0-9_]+)?$/, isValue: (text) => /^\d+$/.test(text) },
  { name: /_PORT(_\d+_(TCP|UDP|SCTP))?$/, isValue: (text) => /^(tcp|udp|sctp):\/\//.test(text) },
  { name: /_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, isValue: (text) => /^(tcp|udp|sctp)$/.test(text) },
  { name: /_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, isValue: (text) => /^\d+$/.test(text) },
  { name: /_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, isValue: (text) => isIP(text) !== 0 },
];

function isServiceLink(variable: string, text: string): boolean {
  return SERVICE_LINKS.some(({ name, isValue }) => name.test(variable) && isValue(text));
}

/** A flag or a variable, and the text that it has. */
interface Given {
  readonly where: string;
  readonly text: string | undefined;
}

/**
 * Read the settings: a flag wins over the environment, the environment over the default. An empty variable counts as one that is
 * not set; an empty flag means the default. `warn` is called for each old
 * name that was used. Throws ConfigError for the first value that is wrong, for an old and a new name with different
 * values, and for a FULLCONV_ variable that does not exist.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  flags: SettingFlags = {},
  warn: (message: string) => void = () => undefined,
): Config {
  const known = new Set(
    SETTING_LIST.flatMap(({ variable, formerly }) => [
      variable,
      ...(formerly === undefined ? [] : [formerly.variable]),
    ]),
  );
  const unknown = Object.entries(environment).find(
    ([name, text]) => name.startsWith('FULLCONV_') && !known.has(name) && !isServiceLink(name, text ?? ''),
  );
  if (unknown !== undefined) throw new ConfigError(`${unknown[0]} is not a setting; fullconv serve --help lists them`);

  const layout = flags.layout ?? environment[SETTINGS.layout.variable];
  const values = SETTING_LIST.map(({ name, variable, flag, formerly }) => {
    const old = formerly && {
      flag: { where: formerly.flag, text: flags[formerly.flag] },
      variable: { where: formerly.variable, text: unlessEmpty(environment[formerly.variable]) },
    };
    const fromFlag = underEitherName({ where: flag, text: flags[name] }, old?.flag, warn);
    const inEnvironment = { where: variable, text: unlessEmpty(environment[variable]) };
    const fromEnvironment = underEitherName(inEnvironment, old?.variable, warn);
    const standard = (layout === 'latency' ? LATENCY_LAYOUT[name] : undefined) ?? SETTINGS[name].default;
    const given = fromFlag.text === undefined ? fromEnvironment : fromFlag;
    const { where } = given;
    const text = unlessEmpty(given.text) ?? standard;
    const result = SETTINGS[name].schema.safeParse(text);
    if (!result.success) {
      const shown = 'isSecret' in SETTINGS[name] ? where : `${where}=${text}`;
      throw new ConfigError(`${shown}: ${result.error.issues.map((issue) => issue.message).join('; ')}`);
    }
    return [name, result.data] as const;
  });
  return Object.fromEntries(values) as unknown as Config;
}

/** An empty variable is none, as Compose writes it for one that is not set. */
function unlessEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** The value of a flag, or of a variable, under its name or its old name. */
function underEitherName(now: Given, old: Given | undefined, warn: (message: string) => void): Given {
  if (old?.text === undefined) return now;
  if (now.text !== undefined && now.text !== old.text) {
    throw new ConfigError(
      `${now.where}=${now.text} and ${old.where}=${old.text} are the same setting under its new and its old name: leave out the old one`,
    );
  }
  warn(`${old.where} is called ${now.where} now; the next version does not take the old name`);
  return now.text === undefined ? old : now;
}
