/**
 * Completes a command line that is being typed: commands, flags and their values, taken from commander's own tree. The
 * shells' scripts (shell-scripts.ts) call `fullconv complete` at every Tab. So the offer follows what is on disk now,
 * models above all, and one program serves all shells.
 *
 * The placeholder of an option or argument names the kind of its value. Names of a `<model>`, `<architecture>` or
 * `<weights>` are looked up; a `<file>` or `<folder>` is left to the shell.
 */
import type { Argument, Command, Option } from 'commander';
import { WordOption } from '../option-values.js';

export interface Candidate {
  readonly word: string;
  readonly about: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** The paths that the shell must add itself. */
  readonly paths: 'files' | 'folders' | 'none';
}

/** Looks up the names of a kind, e.g. the models for `model`. */
export type NamesOf = (kind: string) => Promise<readonly string[]>;

const FILES = /^(files?|images|place)$/;
const FOLDERS = /^folder$/;

const NOTHING: Completion = { candidates: [], paths: 'none' };

/**
 * Complete the last word, which may be empty. The words before it are final. The program's own name is not among them.
 */
export async function complete(program: Command, typed: readonly string[], namesOf: NamesOf): Promise<Completion> {
  const words = joinAssignments(typed);
  const current = words.at(-1) ?? '';
  const { command, argument, option, isFirst } = walk(program, words.slice(0, -1));
  if (option !== undefined) return valuesOf(option, current, namesOf);
  const [flag, value] = splitOnce(current);
  if (value !== undefined) {
    const assigned = findOption(command, flag);
    if (assigned === undefined) return NOTHING;
    const { candidates, paths } = await valuesOf(assigned, value, namesOf);
    return { candidates: candidates.map(({ word, about }) => ({ word: `${flag}=${word}`, about })), paths };
  }
  if (current.startsWith('-')) return { candidates: startingWith(current, flagsOf(command)), paths: 'none' };
  if (command.commands.length > 0 && argument === undefined) {
    return isFirst ? { candidates: startingWith(current, commandsOf(command)), paths: 'none' } : NOTHING;
  }
  if (argument === undefined) return NOTHING;
  return valuesOf(argument, current, namesOf);
}

/** The completion as shells read it (shell-scripts.ts). */
export async function completionText(program: Command, typed: readonly string[], namesOf: NamesOf): Promise<string> {
  const { candidates, paths } = await complete(program, typed, namesOf);
  const lines = candidates.map(({ word, about }) => `${word}\t${about}`);
  return [...lines, ...(paths === 'none' ? [] : [`:${paths}`])].map((line) => `${line}\n`).join('');
}

/** Joins the three words into which bash splits `--fit=crop`. */
function joinAssignments(typed: readonly string[]): string[] {
  const words: string[] = [];
  for (const word of typed) {
    const before = words.at(-1);
    if (before !== undefined && (word === '=' || before.endsWith('=')) && before.startsWith('--')) {
      words[words.length - 1] = before + word;
    } else words.push(word);
  }
  return words;
}

/** Follows the words to their command, to the option that waits for its value, or to the argument that comes next. */
function walk(
  program: Command,
  words: readonly string[],
): { command: Command; option: Option | undefined; argument: Argument | undefined; isFirst: boolean } {
  let command = program;
  let option: Option | undefined;
  let position = 0;
  for (const word of words) {
    if (option !== undefined) option = undefined;
    else if (word.startsWith('-') && word !== '-') {
      const known = findOption(command, word);
      option = known?.required || known?.optional ? known : undefined;
    } else {
      const sub = command.commands.find((each) => each.name() === word);
      if (sub === undefined) position++;
      else command = sub;
    }
  }
  const { registeredArguments: known } = command;
  const last = known.at(-1);
  return { command, option, argument: known[position] ?? (last?.variadic ? last : undefined), isFirst: position === 0 };
}

function findOption(command: Command, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => long === flag || short === flag);
}

/** The kinds of the settings' values: their placeholders are all `<value>`. */
const SETTING_VALUES: Readonly<Record<string, string>> = {
  '--models': 'folder',
  '--cache': 'folder',
  '--default-model': 'model',
  '--untrained': 'architecture',
};

/** `model` of `--model <model>`. */
function placeholderOf({ flags, long }: Option): string {
  return SETTING_VALUES[long ?? ''] ?? /[<[]([^>\].]+)/.exec(flags)?.[1] ?? '';
}

async function valuesOf(taker: Option | Argument, current: string, namesOf: NamesOf): Promise<Completion> {
  const kind = 'flags' in taker ? placeholderOf(taker) : taker.name();
  const words = taker.argChoices ?? (await namesOf(kind));
  const meanings = taker instanceof WordOption ? taker.meanings : {};
  const candidates = startingWith(
    current,
    words.map((word) => ({ word, about: meanings[word] ?? '' })),
  );
  if (FILES.test(kind)) return { candidates, paths: 'files' };
  return { candidates, paths: FOLDERS.test(kind) ? 'folders' : 'none' };
}

function flagsOf(command: Command): Candidate[] {
  return [
    ...command.options
      .filter(({ hidden }) => !hidden)
      .map(({ long, short, description }) => ({
        word: long ?? short ?? '',
        about: description,
      })),
    { word: '--help', about: 'display help' },
  ];
}

function commandsOf(command: Command): Candidate[] {
  const shown = command.createHelp().visibleCommands(command);
  return shown.map((each) => ({ word: each.name(), about: each.description() }));
}

function startingWith(start: string, candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(({ word }) => word.startsWith(start));
}

/** Splits `--fit=cr` into `--fit` and `cr`. Any other word comes back alone. */
function splitOnce(word: string): [string, string?] {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word];
}
