/**
 * Decides where the pictures of a command line go. The picture of one named file goes to the file that `--output`
 * names. The pictures of several files, of a folder or of a pattern go into a folder, each under its own name with the
 * format's extension. `-` is the standard output. All paths are settled before anything is computed: no input is
 * overwritten, and no two pictures go to one file.
 */
import { realpath, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { UsageError } from '../../errors.js';
import { writeWhole } from '../../files.js';
import { PICTURE_FORMATS, type PictureFormat } from '../../drawing/words.js';
import type { InputFile, InputFiles } from './input-files.js';

const STANDARD_OUTPUT = '-';

export interface Outputs {
  readonly format: PictureFormat;
  /** Whether the picture goes to the standard output, which must then hold nothing else. */
  readonly isPiped: boolean;
  /** The path of an input's picture; undefined if none is written. */
  pathOf(file: InputFile): string | undefined;
  /** Write a picture as a whole, and create the folders that it lies in. */
  write(path: string, picture: Uint8Array): Promise<void>;
}

export interface OutputFlags {
  /** A file for one image, or a folder. */
  readonly output?: string;
  /** Default: by the output file's extension; in any other case `png`. */
  readonly format?: PictureFormat;
}

/** Plan the outputs. Throws UsageError if the pictures cannot go there. */
export async function planOutputs(inputs: InputFiles, { output, format }: OutputFlags): Promise<Outputs> {
  if (output === undefined) {
    return { format: format ?? 'png', isPiped: false, pathOf: () => undefined, write: writeWhole };
  }
  if (output === STANDARD_OUTPUT) return planPipe(inputs, format ?? 'png');
  const there = await stat(output).catch(() => undefined);
  const isFolder = there?.isDirectory() === true || /[/\\]$/.test(output) || !inputs.isSingle;
  if (!isFolder) return planFile(inputs, output, format);
  if (there?.isFile()) throw new UsageError(`${output}: is a file; the pictures of several images go into a folder`);
  if (there === undefined && formatOf(output) !== undefined) {
    throw new UsageError(
      `${output}: the pictures of several images go into a folder, and this is the name of a picture`,
    );
  }
  return planFolder(inputs, output, format ?? 'png');
}

function planPipe({ isSingle }: InputFiles, format: PictureFormat): Outputs {
  if (!isSingle) throw new UsageError(`${STANDARD_OUTPUT}: the pictures of several images go into a folder`);
  if (process.stdout.isTTY)
    throw new UsageError(`${STANDARD_OUTPUT}: a terminal cannot show the file; name a file instead`);
  return { format, isPiped: true, pathOf: () => STANDARD_OUTPUT, write: (_, picture) => pipe(picture) };
}

async function pipe(picture: Uint8Array): Promise<void> {
  await new Promise((resolve) => process.stdout.write(picture, resolve));
}

async function planFile(inputs: InputFiles, output: string, asked: PictureFormat | undefined): Promise<Outputs> {
  const format = asked ?? formatOf(output);
  if (format === undefined) throw new UsageError(`${output}: its name must end in .${PICTURE_FORMATS.join(', .')}`);
  await refuseOverwriting(inputs.files, [output]);
  return { format, isPiped: false, pathOf: () => output, write: writeWhole };
}

async function planFolder({ files }: InputFiles, folder: string, format: PictureFormat): Promise<Outputs> {
  const paths = new Map<string, string>();
  const sources = new Map<string, string>();
  for (const { path, name } of files) {
    const output = join(folder, `${name.slice(0, name.length - extname(name).length)}.${format}`);
    const other = sources.get(output) ?? path;
    if (other !== path) throw new UsageError(`${path} and ${other} would both become ${output}`);
    sources.set(output, path);
    paths.set(path, output);
  }
  await refuseOverwriting(files, [...sources.keys()]);
  return { format, isPiped: false, pathOf: ({ path }) => paths.get(path), write: writeWhole };
}

async function refuseOverwriting(inputs: readonly InputFile[], outputs: readonly string[]): Promise<void> {
  const read = new Set(await Promise.all(inputs.map(({ path }) => placeOf(path))));
  const written = await Promise.all(outputs.map(placeOf));
  const over = outputs.find((_, position) => read.has(written[position]!));
  if (over !== undefined) throw new UsageError(`${over} would overwrite an image that it is made from`);
}

/** The place of a file, whatever links lead there. */
function placeOf(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

/** The format that a name's extension says; undefined if it says none. */
function formatOf(name: string): PictureFormat | undefined {
  const extension = extname(name).slice(1).toLowerCase();
  return PICTURE_FORMATS.find((known) => known === extension);
}
