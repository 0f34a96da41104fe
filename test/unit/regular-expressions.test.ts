/**
 * Regular expressions that read what strangers send. One that begins with a repetition, and goes on behind it, is tried anew at each
 * place of a text without a match, and reads on to its end each time: the square of its length.
 */
import { readFileSync } from 'node:fs';
import { globSync } from 'tinyglobby';
import ts from 'typescript';
import { expect, it } from 'vitest';

/** The rooms that a request comes through. */
const FILES = globSync(
  ['http', 'images', 'keys', 'inference', 'classes', 'tracing', 'client'].map((room) => `src/${room}/**/*.ts`),
);

/** Brackets that open, something that is repeated without a bound, and what follows. An anchor, also by the flag y, keeps it to one place. */
const BEGINS_WITH_REPETITION =
  /^\/\(*(?:\?:|\?<\w+>)?(?:\[(?:\\.|[^\\\]])*\]|\\[pP]\{[^}]*\}|\\.|[^\\^$([/])(?:[*+]|\{\d*,\})\??\)*(?![)/])[^]*\/(?!\w*y)\w*$/;

function literalsOf(file: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) found.push(node.text);
    node.forEachChild(visit);
  };
  visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest));
  return found;
}

it('what is looked for is found', () => {
  const slow = ['/([^&=]*)=/g', '/ +$/', '/\\s+x/', '/(?:a{2,}b)/', '/(?<name>.*)z/s', '/\\p{L}*!/u'];
  const quick = ['/^a*b/', '/ *x/y', '/[a-z]+/g', '/(\\d+)/', '/x +y/', '/a{2,3}b/', '/\\p{M}{31}/u'];
  expect([...slow, ...quick].filter((text) => BEGINS_WITH_REPETITION.test(text))).toEqual(slow);
});

it('none begins with a repetition', () => {
  expect(FILES.length).toBeGreaterThan(100);
  const slow = FILES.flatMap((file) =>
    literalsOf(file)
      .filter((text) => BEGINS_WITH_REPETITION.test(text))
      .map((text) => `${file}: ${text}`),
  );
  expect(slow).toEqual([]);
});
