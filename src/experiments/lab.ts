/**
 * Where experiments are made: the models of the registry, and an engine that starts when the first experiment needs it. It
 * keeps account of what was used. What one model can be asked is in subject.ts.
 */
import { join } from 'node:path';
import { isArchitecture, type ArchitectureName } from '../architectures/index.js';
import { createService, type Logger, type Service, type ServiceOptions } from '../app.js';
import type { Config } from '../config.js';
import { deviceNames } from '../device.js';
import { OperatorError, UnavailableError, UsageError } from '../errors.js';
import { isTaken } from '../files.js';
import { GraphError } from '../graph/graph-error.js';
import { finishNetwork, loadNetwork } from '../models/compile.js';
import { findModel, type FoundModel } from '../models/look/inspect.js';
import { readModelFolder, type Precision } from '../models/manifest.js';
import { prepareUntrained } from '../models/networks/untrained.js';
import { thisMachine, type Ground, type UsedImages, type UsedModel } from './ground.js';
import { createSubject, type Subject, type SubjectParts } from './subject.js';

export interface Lab {
  readonly config: Config;
  /** Tell of a long piece of work; the caller must stop it. */
  readonly progress: (what: string, total: number) => Progress;
  /** Names of the models that answer, those of architectures without weights left out. Starts the engine. */
  names(): Promise<readonly string[]>;
  /**
   * Work with a model of that name or path; undefined is the default. Starts the engine. Throws UnavailableError if the
   * model could not be loaded, and MODEL_NOT_FOUND if there is none.
   */
  use<T>(model: string | undefined, work: (subject: Subject) => Promise<T>): Promise<T>;
  /**
   * Work with an architecture over generated weights, which are written into the cache. Only sessions that are opened from the
   * subject answer. Starts the engine.
   */
  build<T>(architecture: ArchitectureName, work: (subject: Subject) => Promise<T>): Promise<T>;
  /** A model or an architecture to look at, without an engine. Throws OperatorError if there is none. */
  look(what: string): Promise<FoundModel>;
  /** Say which images are looked at. */
  sees(images: UsedImages): void;
  ground(): Promise<Ground>;
  /** End the engine. */
  close(): Promise<void>;
}

export interface Progress {
  step(): void;
  stop(): void;
}

export interface LabOptions extends Omit<ServiceOptions, 'models'> {
  /**
   * Models that will be used, beside those in the folder of models: paths, and architectures to be served untrained, as
   * `plain18-untrained`.
   */
  readonly models?: readonly string[];
  readonly log?: Logger;
  readonly progress?: Lab['progress'];
  /** Is given the service that starts, and may put another error in the place of one. */
  readonly starting?: <T>(service: Promise<T>) => Promise<T>;
}

const SILENT: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const UNTRAINED = '-untrained';

/** An empty lab. The caller must close it. */
export function createLab(
  config: Config,
  {
    models = [],
    log = SILENT,
    progress = () => NO_PROGRESS,
    starting: explain = (it) => it,
    ...options
  }: LabOptions = {},
): Lab {
  const used = new Map<string, UsedModel>();
  let images: UsedImages | undefined;
  let starting: Promise<Started> | undefined;
  const start = (): Promise<Started> => (starting ??= explain(startService(config, log, models, options)));

  return {
    config,
    progress,
    async names() {
      const { service } = await start();
      return service.registry
        .list()
        .filter(({ name, state }) => state !== 'failed' && !name.endsWith(UNTRAINED))
        .map(({ name }) => name)
        .filter((name, index, all) => all.indexOf(name) === index);
    },
    async use(asked, work) {
      const { service, nameOf } = await start();
      const name = asked === undefined ? undefined : nameOf(asked);
      const { registry } = service;
      const meant = name ?? registry.defaultName;
      const entry = meant !== undefined && registry.has(meant) ? registry.entry(meant) : undefined;
      if (entry?.state === 'failed') {
        throw new UnavailableError(`The model "${entry.name}" is ${entry.state}: ${entry.reason ?? ''}`);
      }
      return registry.use(name, async (model) => {
        const { manifest, digest, precision } = model;
        const { name, version } = manifest;
        used.set(name, { name, version, digest, precision });
        const content = await readModelFolder(model.folder);
        const network = await loadNetwork(content, config.cache);
        return withSubject({ service, config, model, network }, work, (opened) =>
          used.set(name, { name, version, digest, precision: opened }),
        );
      });
    },
    async build(architecture, work) {
      const { service } = await start();
      const content = await readModelFolder(await prepareUntrained(config.cache, architecture));
      const network = await loadNetwork(content, config.cache);
      const model = finishNetwork(content, network, { load: 0, engine: service.engine });
      const { name } = content.manifest;
      used.set(name, { name, version: content.manifest.version, digest: model.digest, precision: 'fp32' });
      return withSubject({ service, config, model, network }, work);
    },
    async look(what) {
      const found = await findModel(what, config);
      const { name } = found.content.manifest;
      if (!used.has(name)) used.set(name, { name });
      return found;
    },
    sees: (seen) => void (images = seen),
    async ground() {
      const service = (await starting)?.service;
      return {
        models: [...used.values()],
        ...(service !== undefined && { engine: service.engine, device: deviceNames(service.device.devices) }),
        ...thisMachine(),
        ...(images !== undefined && { images }),
      };
    },
    async close() {
      const started = await starting?.catch(() => undefined);
      await started?.service.close();
    },
  };
}

/** Do the work, and close what it has opened. A net that a rewrite does not fit is no bug, but an OperatorError. */
async function withSubject<T>(
  parts: SubjectParts,
  work: (subject: Subject) => Promise<T>,
  onOpen?: (precision: Precision) => void,
): Promise<T> {
  const subject = createSubject(parts, onOpen);
  try {
    return await work(subject);
  } catch (error) {
    if (!(error instanceof GraphError)) throw error;
    throw new OperatorError(`${parts.model.manifest.name}: ${error.message}`, { cause: error });
  } finally {
    await subject.close();
  }
}

const NO_PROGRESS: Progress = { step: () => undefined, stop: () => undefined };

interface Started {
  readonly service: Service;
  /** The registry's name of a model that was named by its path. */
  readonly nameOf: (asked: string) => string;
}

async function startService(
  config: Config,
  log: Logger,
  models: readonly string[],
  options: ServiceOptions,
): Promise<Started> {
  const paths: string[] = [];
  for (const model of models) {
    if (!(await isTaken(join(config.models, model))) && (await isTaken(model))) paths.push(model);
  }
  const untrained = withUntrained(config.untrained, models);
  const service = await createService({ ...config, untrained }, log, { ...options, models: paths });
  return { service, nameOf: (asked) => service.registry.given[paths.indexOf(asked)] ?? asked };
}

/** The architectures that are served untrained, with those that are asked for by the names of their models. */
function withUntrained(untrained: Config['untrained'], models: readonly string[]): Config['untrained'] {
  const asked = models
    .filter((model) => model.endsWith(UNTRAINED))
    .map((model) => model.slice(0, -UNTRAINED.length))
    .filter((name) => isArchitecture(name) && !untrained.includes(name));
  return [...untrained, ...asked];
}

/** The only model that was asked for; undefined if none was. Throws UsageError if there are several. */
export function onlyModel(models: readonly string[] | undefined): string | undefined {
  if (models !== undefined && models.length > 1) throw new UsageError('This experiment looks at one model.');
  return models?.[0];
}
