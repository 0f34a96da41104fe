/**
 * Set-up of every test file. Tests and hooks have no time limit; they are given up if they stand still (progress.ts).
 * Processes that such a test leaves running end with its file.
 */
import { aroundAll, aroundEach } from 'vitest';
import { descendants, whileItWorks } from './progress.js';

let isGivenUp = false;

const patiently = async (work: () => Promise<void>): Promise<void> => {
  // Failures of the tests themselves do not reach this point.
  await whileItWorks(work).catch((error: unknown) => {
    isGivenUp = true;
    throw error;
  });
};

aroundEach((runTest) => patiently(runTest));

// For the hooks of the file.
aroundAll(async (runSuite) => {
  try {
    await patiently(runSuite);
  } finally {
    if (isGivenUp) descendants().forEach(end);
  }
});

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
