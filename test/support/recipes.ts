/**
 * The recipes of docs/recipes as programs: the blocks of a page, each with the text that the page says it prints.
 * Recipes whose tools are missing (curl, jq, a Python with their libraries) are skipped with a notice, unless
 * REQUIRE_RECIPES is set, as in CI. RECIPES_PYTHON names the Python; nothing is installed.
 */
import { spawnSync } from 'node:child_process';

export type Language = 'sh' | 'js' | 'python';

export interface Recipe {
  readonly language: Language;
  readonly program: string;
  /** Absent if the page does not say. */
  readonly prints: string | undefined;
}

export const PYTHON = process.env['RECIPES_PYTHON'] ?? 'python3';

const answers = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

const present: Readonly<Record<Language, boolean>> = {
  js: true,
  sh: answers('bash', '-c', 'curl --version && jq --version'),
  python: answers(PYTHON, '-c', 'import requests, numpy, pycocotools.mask'),
};

export const hasLanguages = (recipes: readonly Recipe[]): boolean => recipes.every(({ language }) => present[language]);

if (!present.sh || !present.python) {
  const missing = [
    present.sh ? [] : 'curl and jq',
    present.python ? [] : `${PYTHON} with requests, numpy, pycocotools`,
  ];
  if (process.env['REQUIRE_RECIPES'])
    throw new Error(`there is no ${missing.flat().join(', ')}; REQUIRE_RECIPES is set`);
  process.stderr.write(`notice: there is no ${missing.flat().join(', ')}; the recipes with it are skipped\n`);
}

/** The blocks of a page in their order. Throws for a block that no test would run. */
export function recipesOf(page: string): Recipe[] {
  const blocks = [...page.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
  return blocks.flatMap(({ language, text }, position): Recipe[] => {
    if (language === 'text' && blocks[position - 1]?.language !== 'text') return [];
    if (language !== 'sh' && language !== 'js' && language !== 'python') {
      throw new Error(`a block of ${language || 'no language'} is not run: ${text}`);
    }
    const next = blocks[position + 1];
    return [{ language, program: text, prints: next?.language === 'text' ? next.text : undefined }];
  });
}
