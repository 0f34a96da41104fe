/**
 * What the files of a command line mean: files, folders with all images below them, patterns that the shell left alone
 * (it does so in quotes, and where nothing matched), or `-` for the standard input. A file that is named is taken as it
 * is; of folders and patterns, the files whose names end as an image's do, in the order of their names.
 */
import { stat, type Stats } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { basename, extname, join, sep } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { glob, isDynamicPattern } from 'tinyglobby';
import type { ImageInput } from '../../inference/infer.js';
import { IMAGE_EXTENSIONS } from '../local-service.js';

const STANDARD_INPUT = '-';

export interface InputFile {
  /** Where it lies, as a program would open it; `-` is the standard input. */
  readonly path: string;
  /** Its name for people and for what is made of it: below the folder, or the fixed part of the pattern, that it is of. */
  readonly name: string;
}

export interface InputFiles {
  readonly files: readonly InputFile[];
  /** Folders and patterns without an image. */
  readonly empty: readonly string[];
  /** Whether it is one file that was named: what is made of it is a file, too, and not a folder of them. */
  readonly isSingle: boolean;
}

/** Find the files of the arguments, in their order. A file that is not there is found out when it is read. */
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

/** A name, or a line with one, for people: `?` for what a terminal would obey or break the line at. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
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

/** The images below a folder that match a pattern, in the order of their names; what cannot be read there has none. */
async function imagesOf(folder: string, pattern: string): Promise<InputFile[]> {
  const root = await realpath(folder).catch(() => folder);
  const names = await glob(pattern, { cwd: folder, expandDirectories: false, fs: { stat: statOfLink(root) } });
  return names
    .filter((name) => IMAGE_EXTENSIONS.has(extname(name).toLowerCase()))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => ({ path: folder === '.' ? name : join(folder, name), name }));
}

/**
 * What glob follows links with: it is told where one leads. Not to folders that are looked at anyway, those in the root
 * and around it, and to any other once: the ways through a few folders that lead to each other are without number.
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

/** Whether a path is a folder's own or below it. */
function holds(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
