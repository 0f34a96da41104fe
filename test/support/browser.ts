/**
 * A real Chromium: the one at CHROMIUM_PATH, or the one on PATH (Debian: apt-get install chromium); nothing is
 * downloaded. Tests that need it are skipped with a notice if there is none, unless REQUIRE_BROWSER is set.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];

function findBrowser(): string | undefined {
  const { CHROMIUM_PATH: given, PATH: path = '' } = process.env;
  if (given !== undefined) return given;
  return path
    .split(delimiter)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

const executablePath = findBrowser();

export const hasBrowser = executablePath !== undefined;

if (!hasBrowser) {
  if (process.env['REQUIRE_BROWSER']) throw new Error('there is no Chromium, and REQUIRE_BROWSER is set');
  process.stderr.write('notice: there is no Chromium; the tests of the playground in a browser are skipped\n');
}

/** Launch the browser. Its pages wait without a time limit, as tests do (progress.ts). */
export async function launchBrowser(): Promise<Browser> {
  // Chromium's sandbox does not work in containers or as root.
  const browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'], timeout: 0 });
  browser.on('context', (context) => context.setDefaultTimeout(0));
  return browser;
}
