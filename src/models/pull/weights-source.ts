/**
 * Sources of the catalog's weights: the Hugging Face hub, a mirror with the hub's addresses
 * (`BASE/OWNER/NAME/resolve/REVISION/FILE`), or local files, either plain copies or in the hub's own cache. If the
 * catalog has a digest, weights from every source are the same to the byte.
 */
import { constants, copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OperatorError } from '../../errors.js';
import { isFile } from '../../files.js';
import { readBounded } from '../../regular-files.js';
import type { CatalogEntry } from './catalog.js';
import { checkFile, download, type DownloadOptions, type Downloaded } from './download.js';

export type WeightsSource =
  | {
      readonly kind: 'hub';
      /** Address without credentials and without a trailing slash. */
      readonly base: string;
      readonly authorization?: string | undefined;
    }
  | { readonly kind: 'local'; readonly path: string };

/** Limit in bytes for a file that holds the name of a commit. */
const MAX_REF_BYTES = 4096;

/** The hub itself. */
export const HUB = 'https://huggingface.co';

export interface SourceSettings {
  /** An address or a path. Default: the endpoint. */
  readonly from?: string | undefined;
  /** The environment variable HF_ENDPOINT. Default: the hub. */
  readonly endpoint?: string | undefined;
  /** The environment variable HF_TOKEN; credentials in the address take precedence. */
  readonly token?: string | undefined;
}

/** The source that the settings select. Throws OperatorError for an address that is neither http nor https. */
export function weightsSource({ from, endpoint, token }: SourceSettings): WeightsSource {
  // An empty variable counts as unset.
  const place = [from, endpoint].find(Boolean) ?? HUB;
  if (!/^[a-z][a-z0-9+.-]+:\/\//i.test(place)) return { kind: 'local', path: resolve(place) };
  if (!URL.canParse(place) || !/^https?:$/.test(new URL(place).protocol)) {
    throw new OperatorError(`${place}: must be an http or https address, a folder or a file`);
  }
  const { origin, pathname, username, password } = new URL(place);
  const credentials = [username, password].map(decodeURIComponent).join(':');
  const basic = username === '' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
  const authorization = basic ?? (token ? `Bearer ${token}` : undefined);
  return { kind: 'hub', base: origin + pathname.replace(/\/+$/, ''), authorization };
}

/** Fetch the weights of an entry to `file`. Throws OperatorError if they are missing or faulty. */
export async function fetchWeights(
  source: WeightsSource,
  entry: CatalogEntry,
  file: string,
  options: Omit<DownloadOptions, 'authorization'>,
): Promise<Downloaded> {
  if (source.kind === 'local') return copyWeights(source.path, entry, file);
  const { repository, revision, sha256, size } = entry;
  const url = new URL(`${source.base}/${repository}/resolve/${revision}/${entry.file}`);
  return download({ url, sha256, size }, file, { ...options, authorization: source.authorization });
}

async function copyWeights(path: string, entry: CatalogEntry, file: string): Promise<Downloaded> {
  const places = (await isFile(path)) ? [path] : await localPlaces(path, entry);
  const found = await Promise.all(places.map(isFile));
  const from = places.find((_, index) => found[index]);
  if (from === undefined) throw new OperatorError(`${entry.name}: none of these files exists: ${places.join(', ')}`);
  const copy = `${file}.copy`;
  await mkdir(dirname(file), { recursive: true });
  try {
    await copyFile(from, copy, constants.COPYFILE_FICLONE);
    const checked = await checkFile(copy, entry, from);
    await rename(copy, file);
    return { ...checked, commit: undefined };
  } finally {
    await rm(copy, { force: true });
  }
}

/** Places where a folder may hold the file: by repository, by model, in a cache of the hub, or directly. */
async function localPlaces(folder: string, entry: CatalogEntry): Promise<string[]> {
  const { repository, name, file, revision } = entry;
  const cache = join(folder, `models--${repository.replaceAll('/', '--')}`);
  const commit = await readBounded(join(cache, 'refs', revision), MAX_REF_BYTES).catch(() => revision);
  return [
    join(folder, repository, file),
    join(folder, name, file),
    join(cache, 'snapshots', commit.toString().trim(), file),
    join(folder, file),
  ];
}
