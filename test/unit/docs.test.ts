/** What is written for people: short where it must be, complete where it lists, and linked to what is there. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/errors.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const isFile = (file: string): boolean => file.endsWith('.md') && existsSync(join(ROOT, file));

/** All Markdown below a folder, but for what is installed there. */
const pagesBelow = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ['node_modules', 'venv'].includes(entry.name) ? [] : pagesBelow(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });

const PAGES = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', ...['docs', 'load', 'models'].flatMap(pagesBelow)];

/** As `wc -w` counts. */
const countWords = (text: string): number => text.split(/\s+/).filter((word) => word !== '').length;

/** Without blocks and spans of code, in which nothing is a link or a heading. */
const prose = (text: string): string => text.replace(/^```[^]*?^```$/gm, '').replace(/^ {4}.*$/gm, '');

const linksOf = (page: string): string[] =>
  [
    ...prose(read(page))
      .replaceAll(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^()\s]+)\)/g),
  ].map(([, target]) => target!);

/** The anchors of a page's headings, as GitHub makes them; the second of a name gets -1, and so on. */
function anchorsOf(page: string): Set<string> {
  const slugs = [...prose(read(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set(
    slugs.map((slug, position) => {
      const before = slugs.slice(0, position).filter((other) => other === slug).length;
      return before === 0 ? slug : `${slug}-${before}`;
    }),
  );
}

/** Why a link of a page leads nowhere, or nothing. */
function faultOf(page: string, link: string): string | undefined {
  if (/^[a-z]+:/.test(link)) return undefined;
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : normalize(join(dirname(page), path));
  if (!existsSync(join(ROOT, target))) return `${page}: there is no ${target}`;
  if (anchor === undefined || (isFile(target) && anchorsOf(target).has(anchor))) return undefined;
  return `${page}: ${target} has no heading #${anchor}`;
}

it('links between files lead to files and headings that are there', () => {
  const links = PAGES.flatMap((page) => linksOf(page).map((link) => [page, link] as const));
  expect(links.length).toBeGreaterThan(100);
  expect(links.flatMap(([page, link]) => faultOf(page, link) ?? [])).toEqual([]);
});

it('a link to what is not there is found', () => {
  expect(faultOf('docs/http.md', 'nothing.md')).toBe('docs/http.md: there is no docs/nothing.md');
  expect(faultOf('docs/http.md', 'cli.md#nothing')).toBe('docs/http.md: docs/cli.md has no heading #nothing');
  expect(faultOf('docs/http.md', '#errors')).toBeUndefined();
});

describe('the README', () => {
  it('is read in three minutes: at most 700 words', () => {
    expect(countWords(read('README.md'))).toBeLessThanOrEqual(700);
  });

  it('leads to every page of docs', () => {
    const links = linksOf('README.md');
    const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
    expect(pages.filter((name) => !links.includes(`docs/${name}`))).toEqual([]);
  });
});

it('ARCHITECTURE.md is a map of at most 2,000 words, and the list of decisions is whole', () => {
  expect(countWords(read('ARCHITECTURE.md'))).toBeLessThanOrEqual(2000);
  const decisions = readdirSync(join(ROOT, 'docs/decisions')).filter((name) => /^\d{4}-.+\.md$/.test(name));
  expect(decisions.map((name) => name.slice(0, 4)).sort()).toEqual(
    decisions.map((_, position) => String(position + 1).padStart(4, '0')),
  );
  const list = read('docs/decisions/README.md');
  for (const name of decisions) {
    const [, title, date] = /^# (.+)\n\n(\d{4}-\d\d-\d\d)\n/.exec(read(`docs/decisions/${name}`)) ?? [];
    expect(list).toContain(`| [${name.slice(0, 4)}](${name}) | ${title ?? 'a title'} | ${date ?? 'a date'} |`);
  }
});

describe('docs/dependencies.md', () => {
  const packages = JSON.parse(read('package.json')) as Record<
    'dependencies' | 'optionalDependencies' | 'devDependencies',
    object
  >;
  /** The names in the first column of a section's table. */
  const listedIn = (section: string): string[] =>
    [...section.matchAll(/^\| ([^|]+) \|/gm)]
      .flatMap(([, cell]) => cell!.split(','))
      .map((name) => name.trim())
      .filter((name) => name !== 'package' && !name.startsWith('---'));
  const [, used = '', development = ''] = read('docs/dependencies.md').split('\n## ');

  it('has a line for each dependency, and no other', () => {
    expect(listedIn(used).sort()).toEqual(
      Object.keys({ ...packages.dependencies, ...packages.optionalDependencies }).sort(),
    );
  });

  it('has a line for each that development needs, and no other', () => {
    const names = Object.keys(packages.devDependencies).filter((name) => !name.startsWith('@types/'));
    expect(listedIn(development).sort()).toEqual([...names, '@types/*'].sort());
  });
});

describe('docs/http.md', () => {
  const page = read('docs/http.md');

  it('has the table of errors as errors.ts has it', () => {
    const rows = [...page.matchAll(/^\| ([A-Z_]+) \| (\d+) \| (.+) \| (yes|no) \|$/gm)].map((row) => row.slice(1));
    expect(rows).toEqual(
      Object.entries(ERROR_TABLE).map(([code, { status, title, retryable }]) => [
        code,
        String(status),
        title,
        retryable ? 'yes' : 'no',
      ]),
    );
  });

  it('names every route of the OpenAPI document', () => {
    const { paths } = JSON.parse(read('openapi/openapi.json')) as { paths: object };
    const routes = page.split('\n## ')[1]!;
    expect(Object.keys(paths).filter((path) => !routes.includes(path))).toEqual([]);
  });
});
