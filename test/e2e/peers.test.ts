import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { findPython, interpreters } from '../../load/peers/servers.js';
import { OPENVINO } from '../support/engines.js';

const ENTRY = fileURLToPath(new URL('../../dist/load-peers.js', import.meta.url));

const peers = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
  promisify(execFile)(
    process.execPath,
    [ENTRY, '--model', 'tinyimagenet-resnet18-w48', '--clients', '2', '--duration', '0.5', ...args],
    { env: { ...process.env, ...environment } },
  );

const python = await findPython(['litserve', 'openvino', 'pillow', 'numpy'], interpreters(undefined)).catch(
  () => undefined,
);
if (python === undefined) process.stderr.write('notice: no Python has litserve and openvino; their test is skipped\n');

it.skipIf(OPENVINO === undefined || python === undefined)(
  'LitServe with OpenVINO and our server on OpenVINO have the same answers, and take turns',
  async () => {
    const { stdout } = await peers(['--servers', 'fullconv-openvino,litserve-openvino']);
    for (const name of ['fullconv-openvino', 'litserve-openvino']) {
      // Two turns, a ratio, figures, every photograph the same class, no failure.
      const row = `\\| ${name} \\| [^|]+ \\| [\\d.]+, [\\d.]+ \\| [\\d.]+ \\|( [\\d.]+ \\|){4} 3 of 3 \\| 0 \\|`;
      expect(stdout).toMatch(new RegExp(row));
    }
    expect(stdout).not.toContain('was not measured');
  },
);

it('a server that does not start is named, and the others are measured', async () => {
  const { stdout } = await peers(['--servers', 'fullconv-openvino,fullconv'], { FULLCONV_OPENVINO: '/nowhere' });
  expect(stdout).toMatch(/\n\| fullconv \| fp32 \| [\d.]+, [\d.]+ \| 1.00 \|/);
  expect(stdout).toMatch(/\n- fullconv-openvino was not measured: it ended with [1-9]/);
});
