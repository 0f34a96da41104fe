/** What is installed with this program: where it comes from, and under which licences. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/check-lockfile.mjs', import.meta.url));
const LOCKFILE = fileURLToPath(new URL('../../package-lock.json', import.meta.url));

interface Entry {
  integrity?: string;
  resolved?: string;
  license?: string;
  version?: string;
  link?: boolean;
}

function check(file: string, ...options: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(process.execPath, [SCRIPT, file, ...options], { encoding: 'utf8' });
  return { status, stdout };
}

it('comes from a registry, with digests, under licences that are listed', () => {
  expect(check(LOCKFILE).stdout).toMatch(/^\d+ packages, no fault\n$/);
});

it.each<[string, (entry: Entry) => unknown, string]>([
  ['no digest', (entry) => delete entry.integrity, 'has no sha512 of its archive'],
  ['an old digest', (entry) => (entry.integrity = 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk='), 'has no sha512 of its archive'],
  ['another place', (entry) => (entry.resolved = 'git+ssh://git@github.com/a/b.git#c'), 'is not of a registry'],
  ['an archive of a stranger', (entry) => (entry.resolved = 'https://example.com/a.tgz'), 'is not of a registry'],
  ['a folder', (entry) => (entry.link = true), 'is a folder of this machine'],
  ['a range', (entry) => (entry.version = '^1.0.0'), 'has no exact version'],
  ['another licence', (entry) => (entry.license = 'AGPL-3.0-only'), 'does not list: AGPL-3.0-only'],
  ['no licence', (entry) => delete entry.license, 'does not list: undefined'],
])('%s is a fault', (_, change, fault) => {
  const lock = JSON.parse(readFileSync(LOCKFILE, 'utf8')) as { packages: Record<string, Entry> };
  change(lock.packages['node_modules/fastify']!);
  const file = join(mkdtempSync(join(tmpdir(), 'fullconv-lock-')), 'package-lock.json');
  writeFileSync(file, JSON.stringify(lock));
  const { status, stdout } = check(file);
  expect(status).toBe(1);
  expect(stdout).toContain(`${fault}\n`);
  expect(stdout).toMatch(/^fastify: /);
  expect(stdout.trim().split('\n')).toHaveLength(1);
});

it('can be listed by licence', () => {
  const { stdout } = check(LOCKFILE, '--licences');
  expect(stdout).toMatch(/^MIT\n(?: {2}\S.*\n)*? {2}fastify@5\.\d+\.\d+\n/m);
});
