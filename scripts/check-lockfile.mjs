/**
 * Checks package-lock.json before anything of it is installed: every package comes from a registry, in one exact version, with a
 * sha512 of its archive, under a licence that docs/dependencies.md lists. Prints each fault, and ends with 1 if there is one.
 * `--licences` prints the packages of each licence in place of that. Another lockfile may be named.
 */
import { readFileSync } from 'node:fs';

const [file = 'package-lock.json'] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const { packages } = JSON.parse(readFileSync(file, 'utf8'));
const entries = Object.entries(packages)
  .filter(([path]) => path !== '')
  .map(([path, entry]) => ({ name: path.replace(/^.*node_modules\//, ''), ...entry }));

const page = readFileSync(new URL('../docs/dependencies.md', import.meta.url), 'utf8');
const listed = new Set(
  [...page.slice(page.indexOf('\n## Licences')).matchAll(/^\| `([^`]+)` \|/gm)].map(([, licence]) => licence),
);

if (process.argv.includes('--licences')) {
  const names = groupByLicence(entries);
  for (const [licence, group] of [...names].sort(([a], [b]) => String(a).localeCompare(String(b)))) {
    const texts = group.map(({ name, version, dev }) => `${name}@${version}${dev ? ' (development)' : ''}`);
    process.stdout.write(`${licence}\n${texts.map((text) => `  ${text}\n`).join('')}`);
  }
} else {
  const faults = entries.flatMap((entry) => faultsOf(entry).map((fault) => `${entry.name}: ${fault}`));
  process.stdout.write(faults.map((fault) => `${fault}\n`).join('') || `${entries.length} packages, no fault\n`);
  if (faults.length > 0) process.exitCode = 1;
}

function faultsOf({ version, resolved, integrity, link, license, dev }) {
  return [
    ...(link ? ['is a folder of this machine'] : []),
    ...(/^\d+\.\d+\.\d+(-[\w.-]+)?(\+[\w.-]+)?$/.test(version ?? '') ? [] : ['has no exact version']),
    ...(/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '') ? [] : ['has no sha512 of its archive']),
    // npm leaves the address out where it is that of the registry in use.
    ...(resolved === undefined || /^https:\/\/registry\.npmjs\.org\//.test(resolved) ? [] : ['is not of a registry']),
    ...(dev || listed.has(license) ? [] : [`has a licence that docs/dependencies.md does not list: ${license}`]),
  ];
}

function groupByLicence(all) {
  const groups = new Map();
  for (const entry of all) groups.set(entry.license, [...(groups.get(entry.license) ?? []), entry]);
  return groups;
}
