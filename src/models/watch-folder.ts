/**
 * Watches the folder of models by looking at it again and again, which also works on disks of the network. Each look asks for the
 * names, sizes and times of the files there, and reads none but what tells a folder that is one model itself (config.json, or the
 * manifests of versions).
 *
 * What is new or has changed counts as whole when two looks in a row found the same: whoever copies a model into the folder
 * need not do so in one step. What is gone must be missing twice. Each version of a model is looked at by itself, so that a new one
 * does not disturb the others. A model that is broken is tried again when something in its folder changes.
 */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isUnfinished } from '../files.js';
import { findModels, isOneModel, VERSION_FOLDER } from './model-folders.js';
import type { Registry } from './registry.js';

/** Of one entry of the folder: what is known of the files of each version, of those outside of versions under ''. */
type Stamps = ReadonlyMap<string, string>;

/** What a look has found, by the entries' names. */
export interface Look {
  readonly entries: ReadonlyMap<string, Stamps>;
  /** There are more files than are looked at. */
  readonly isCut: boolean;
}

export interface WatchOptions {
  /** The folder of models. */
  readonly folder: string;
  /** As it was when the registry was made. */
  readonly first: Look;
  /** Told of each failure to look, and once of a folder with too many files. */
  readonly onTrouble: (detail: string, error?: unknown) => void;
}

/** Files and folders of a look. A stat takes about 50 µs: a second. */
const MAX_FILES = 20_000;
const MAX_DEPTH = 4;

/** The entry of a folder that is a model itself. */
const ITSELF = '';

/** Look at the folder until the returned function is called. */
export function watchFolder(
  registry: WatchingRegistry,
  { everyMs, ...options }: WatchOptions & { readonly everyMs: number },
): () => void {
  const look = createFolderWatch(registry, options);
  let isLooking = false;
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    look()
      .catch((error: unknown) =>
        options.onTrouble('FULLCONV_WATCH: the folder of models could not be looked at', error),
      )
      .finally(() => (isLooking = false));
  }, everyMs).unref();
  return () => clearInterval(timer);
}

type WatchingRegistry = Pick<Registry, 'list' | 'refresh' | 'remove'>;

/**
 * A function that looks at the folder once, and has the registry follow what it finds. It settles when all of that is over, and
 * rejects with the system's error if the folder cannot be read. Not to be called before it has settled.
 */
export function createFolderWatch(
  registry: WatchingRegistry,
  { folder, first, onTrouble }: WatchOptions,
): () => Promise<void> {
  let before = first;
  /** As the registry knows the entries. */
  const known = new Map(first.entries);
  let hasToldCut = false;

  async function look(): Promise<void> {
    const now = await lookAt(folder);
    const previous = before;
    before = now;
    if (now.isCut && !hasToldCut) {
      hasToldCut = true;
      onTrouble(`FULLCONV_WATCH: there are more than ${MAX_FILES} files; the others are not looked at`);
    }
    const changed = new Map<string, Set<string>>();
    for (const [entry, stamps] of now.entries) {
      const versions = wholeChanges(stamps, previous.entries.get(entry), known.get(entry));
      if (versions.size > 0) changed.set(entry, versions);
    }
    const gone = [...known.keys()].filter(
      (entry) => !now.isCut && !now.entries.has(entry) && !previous.entries.has(entry),
    );
    if (changed.size + gone.length === 0) return;
    const { models } = await findModels(folder);
    await Promise.all([
      ...gone.map((entry) => {
        known.delete(entry);
        return forget(entry);
      }),
      ...[...changed].map(async ([entry, versions]) => {
        known.set(entry, merged(known.get(entry), now.entries.get(entry)!, versions));
        const path = join(folder, entry);
        const name = [...models].find(([, place]) => resolve(place) === resolve(path))?.[0];
        // What is no model now, or has another name, may have been one.
        await forget(entry, name);
        if (name !== undefined) await registry.refresh(name, path, (version) => versions.has(version ?? ''));
      }),
    ]);
  }

  /** Of the models of that entry all but one of this name. */
  async function forget(entry: string, except?: string): Promise<void> {
    const path = resolve(folder, entry);
    const isInside = (place: string): boolean => resolve(place) === path || dirname(resolve(place)) === path;
    const names = new Set(registry.list().flatMap((each) => (isInside(each.folder) ? each.name : [])));
    names.delete(except ?? '');
    await Promise.all([...names].map((name) => registry.remove(name)));
  }

  return look;
}

/** What lies in the folder now. Throws the system's error if it cannot be read. */
export async function lookAt(folder: string): Promise<Look> {
  const entries = new Map<string, Stamps>();
  let left = MAX_FILES;

  async function walk(path: string, place: string, depth: number, note: (place: string, stamp: string) => void) {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    left -= 1;
    if (found === undefined || left <= 0) return;
    if (!found.isDirectory()) {
      note(place, `${found.size} ${found.mtimeNs} ${found.ino}`);
      return;
    }
    if (depth === MAX_DEPTH) return;
    for (const name of await namesIn(path).catch(() => [])) {
      await walk(join(path, name), place === '' ? name : `${place}/${name}`, depth + 1, note);
    }
  }

  for (const entry of (await isOneModel(folder)) ? [ITSELF] : await namesIn(folder)) {
    const files = new Map<string, string[]>([['', []]]);
    await walk(join(folder, entry), '', 0, (place, stamp) => {
      const [first = '', ...rest] = place.split('/');
      const version = rest.length > 0 && VERSION_FOLDER.test(first) ? first : '';
      files.set(version, [...(files.get(version) ?? []), `${place} ${stamp}`]);
    });
    if (left <= 0) break;
    entries.set(entry, new Map([...files].map(([version, lines]) => [version, lines.join('\n')])));
  }
  return { entries, isCut: left <= 0 };
}

async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return names.filter((name) => !name.startsWith('.') && !isUnfinished(name)).sort();
}

/** The versions that are otherwise than they are known, and as they were at the look before. Those that are gone count. */
function wholeChanges(now: Stamps, before: Stamps | undefined, known: Stamps | undefined): Set<string> {
  const versions = new Set([...now.keys(), ...(known?.keys() ?? [])]);
  return new Set(
    [...versions].filter(
      (version) =>
        before !== undefined && now.get(version) === before.get(version) && now.get(version) !== known?.get(version),
    ),
  );
}

/** What was known, with these versions as they are now. */
function merged(known: Stamps | undefined, now: Stamps, versions: ReadonlySet<string>): Stamps {
  const all = new Map(known);
  for (const version of versions) {
    const stamp = now.get(version);
    if (stamp === undefined) all.delete(version);
    else all.set(version, stamp);
  }
  return all;
}
