/** Zip archives of a model: unpacked beside the model folder, for as long as it is drafted. */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { MAX_WEIGHTS_BYTES } from '../files/file-access.js';
import { ModelFileError } from '../files/model-file-error.js';
import { openZip } from '../files/zip.js';

/** Files of an archive. */
const MAX_FILES = 1000;

/** Call `work` with the folder of an archive's files, which is removed afterwards. Throws ModelFileError for a faulty archive. */
export async function whileUnpacked<T>(file: string, beside: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = `${beside}.unpacked.tmp`;
  try {
    await mkdir(folder);
    await unpack(file, folder);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function unpack(file: string, folder: string): Promise<void> {
  const zip = await openZip(file);
  try {
    const entries = [...zip.entries.values()].filter(({ name }) => !isOfSystem(name));
    const bytes = entries.reduce((sum, { size }) => sum + size, 0);
    if (entries.length > MAX_FILES) {
      throw new ModelFileError(file, 'file', `has ${entries.length} files in it; at most ${MAX_FILES} are allowed`);
    }
    if (!(bytes <= MAX_WEIGHTS_BYTES)) {
      throw new ModelFileError(
        file,
        'file',
        `has ${bytes} bytes when unpacked; at most ${MAX_WEIGHTS_BYTES} are allowed`,
      );
    }
    for (const entry of entries) {
      const path = join(folder, normalize(entry.name));
      await mkdir(dirname(path), { recursive: true });
      await zip.extract(entry, path, MAX_WEIGHTS_BYTES);
    }
  } finally {
    await zip.close();
  }
}

/** What macOS puts into archives beside the files. */
function isOfSystem(name: string): boolean {
  return name.startsWith('__MACOSX/') || /(^|\/)\.DS_Store$/.test(name);
}
