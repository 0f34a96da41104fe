/** What of this machine decides how an engine arranges a model. */
import { readFile } from 'node:fs/promises';
import { arch, cpus } from 'node:os';

/** The properties that decide which kernels there are: layouts that suit one processor are wrong on another. */
export async function describeProcessor(): Promise<string> {
  const information = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = /^(?:flags|Features)\s*:.*$/m.exec(information)?.[0] ?? '';
  return [arch(), cpus()[0]?.model ?? '', flags].join('\n');
}
