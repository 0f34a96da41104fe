/**
 * Finds the files that the arguments of a command line mean. An argument is a file, a folder with all images below it,
 * a pattern that the shell left alone (because it is quoted, or because nothing matched), or `-` for the standard
 * input. A named file is taken as it is. A folder or a pattern gives the files with an image's extension, in the order
 * of their names.
 */
import { stat, type Stats } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { basename, extname, join, sep } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { glob, isDynamicPattern } from 'tinyglobby';
import type { ImageInput } from '../../inference/infer.js';
import { IMAGE_EXTENSIONS } from '../../images/image-format.js';

const STANDARD_INPUT = '-';

export interface InputFile {
  /** The path by which it can be opened; `-` is the standard input. */
  readonly path: string;
  /** Its name in messages and for its output: below its folder argument or the fixed part of its pattern. */
  readonly name: string;
}

export interface InputFiles {
  readonly files: readonly InputFile[];
  /** Folders and patterns without an image. */
  readonly empty: readonly string[];
  /** Whether exactly one file was named. Its output is then a file, too, and not a folder. */
  readonly isSingle: boolean;
}

/** Find the files of the arguments, in their order. A named file may not exist: this shows when it is read. */
export async function findInputs(args: readonly string[]): Promise<InputFiles> {
  const found = await Promise.all(args.map(expand));
  return {
    files: found.flat(),
    empty: args.filter((_, position) => found[position]!.length === 0),
    isSingle: args.length === 1 && found[0]?.length === 1 && found[0][0]!.path === args[0],
  };
}

export async function readInput({ path, name }: InputFile): Promise<ImageInput> {
  return { name, bytes: path === STANDARD_INPUT ? await buffer(process.stdin) : await readFile(path) };
}

async function expand(argument: string): Promise<InputFile[]> {
  if (argument === STANDARD_INPUT) return [{ path: argument, name: 'stdin' }];
  const found = await promisify(stat)(argument).catch(() => undefined);
  if (found?.isDirectory()) return imagesOf(argument, '**/*');
  if (found === undefined && isDynamicPattern(argument)) {
    const parts = argument.split('/');
    const fixed = parts.findIndex((part) => isDynamicPattern(part));
    return imagesOf(parts.slice(0, fixed).join('/') || (fixed === 0 ? '.' : '/'), parts.slice(fixed).join('/'));
  }
  return [{ path: argument, name: basename(argument) }];
}

/** The images below a folder that match a pattern, in the order of their names. An unreadable folder has none. */
async function imagesOf(folder: string, pattern: string): Promise<InputFile[]> {
  const root = await realpath(folder).catch(() => folder);
  const names = await glob(pattern, { cwd: folder, expandDirectories: false, fs: { stat: statOfLink(root) } });
  return names
    .filter((name) => IMAGE_EXTENSIONS.has(extname(name).toLowerCase()))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => ({ path: folder === '.' ? name : join(folder, name), name }));
}

/**
 * The `stat` by which glob follows links; it gets the path where a link leads. A link is not followed to a folder that
 * is searched anyway, one in the root or around it. Any other folder is followed once: a few folders that link to each
 * other have paths without end.
 */
function statOfLink(root: string): typeof stat {
  const followed = new Set<string>();
  const isKnown = (path: string): boolean => holds(root, path) || holds(path, root) || followed.has(path);
  const statOnce = (path: string, done: (error: Error | null, stats: Stats) => void): void =>
    stat(path, (error, stats) => {
      const again = error === null && stats.isDirectory() && isKnown(path);
      followed.add(path);
      done(again ? new Error(`${path} is known`) : error, stats);
    });
  return statOnce as typeof stat;
}

/** Whether a path is the folder's own or below it. */
function holds(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
