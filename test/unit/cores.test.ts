import { describe, expect, it } from 'vitest';
import { coreCount } from '../../src/cores.js';

const files = (texts: Readonly<Record<string, string>>) => (file: string) => texts[file];
const V2 = '/sys/fs/cgroup/cpu.max';
const quota = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us';
const period = '/sys/fs/cgroup/cpu/cpu.cfs_period_us';

describe('the number of cores', () => {
  it.each<[string, Readonly<Record<string, string>>, number]>([
    ['is that of the scheduler without control groups', {}, 16],
    ['is that of the scheduler without a quota', { [V2]: 'max 100000\n' }, 16],
    ['is that of the scheduler without a quota (version 1)', { [quota]: '-1\n', [period]: '100000\n' }, 16],
    ['is the quota', { [V2]: '200000 100000\n' }, 2],
    ['is the quota, rounded up', { [V2]: '150000 100000\n' }, 2],
    ['is the quota (version 1)', { [quota]: '400000\n', [period]: '100000\n' }, 4],
    ['is at least one', { [V2]: '5000 100000\n' }, 1],
    ['is not more than the scheduler gives', { [V2]: '6400000 100000\n' }, 16],
    ['is that of the scheduler where the file is odd', { [V2]: 'plenty\n' }, 16],
  ])('%s', (_, texts, expected) => {
    expect(coreCount(16, files(texts))).toBe(expected);
  });

  it('is at least one here', () => {
    expect(coreCount()).toBeGreaterThanOrEqual(1);
  });
});
