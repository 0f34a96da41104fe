import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Imports of types count too: files that need each other's types are one knot to read. */
const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'(\.{1,2}\/[^']+)\.js'/g;

/** Each source file, and the source files that it imports. */
function readImports(): Map<string, string[]> {
  const files = ['src', 'load'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => join(folder, file))
      .filter((file) => /\.c?ts$/.test(file)),
  );
  const known = new Set(files);
  return new Map(
    files.map((file) => {
      const found = [...readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT)];
      const imported = found.map(([, path]) => `${normalize(join(dirname(file), path!))}.ts`);
      return [file, imported.filter((path) => known.has(path))];
    }),
  );
}

/** One circle as the files on it, or nothing. */
function findCircle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  function follow(file: string, path: readonly string[]): string[] | undefined {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of imports.get(file) ?? []) {
      const circle = follow(next, [...path, file]);
      if (circle !== undefined) return circle;
    }
    done.add(file);
    return undefined;
  }
  for (const file of imports.keys()) {
    const circle = follow(file, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

it('no import runs in a circle', () => {
  const imports = readImports();
  expect(imports.get('src/server.ts')).toContain('src/app.ts');
  expect(findCircle(imports)).toBeUndefined();
});

it('a circle would be found', () => {
  const knot = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['d', 'b']],
    ['d', []],
  ]);
  expect(findCircle(knot)).toEqual(['b', 'c', 'b']);
});
