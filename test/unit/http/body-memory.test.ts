/** Whose bodies have room, and until when they count. */
import { describe, expect, it } from 'vitest';
import type { ServiceError } from '../../../src/errors.js';
import { createBodyMemory, type BodyAccount } from '../../../src/http/body-memory.js';
import { holdBuffers } from '../../../src/in-transit.js';

const BUDGET = 1_200_000;
const MIB = 2 ** 20;

/** Fill bodies of `bytes` each, until one is refused for `code`; how many there are. */
function fill(accounts: () => BodyAccount, bytes: number, code: string): number {
  for (let count = 0; ; count += 1) {
    try {
      accounts().open(bytes).append(Buffer.alloc(bytes));
    } catch (error) {
      expect((error as ServiceError).code).toBe(code);
      return count;
    }
  }
}

describe('an address', () => {
  it('holds at most half of the memory, however many requests it makes, and another one still finds room', () => {
    const memory = createBodyMemory(BUDGET);
    expect(fill(() => memory.account('a'), 10_000, 'RATE_LIMITED')).toBe(60);
    expect(fill(() => memory.account('b'), 10_000, 'RATE_LIMITED')).toBe(30);
    expect(memory.held).toBeLessThan(BUDGET);
    memory.account('c').open(10_000).append(Buffer.alloc(10_000));
  });

  it('has room again when others have gone', () => {
    const memory = createBodyMemory(BUDGET);
    const first = memory.account('a');
    fill(() => first, 10_000, 'QUEUE_FULL');
    expect(memory.held).toBe(BUDGET);
    first.release();
    expect(memory.held).toBe(0);
    expect(fill(() => memory.account('b'), 10_000, 'RATE_LIMITED')).toBe(60);
  });

  it('may have all that is free for its only request', () => {
    const memory = createBodyMemory(BUDGET);
    memory.account('a').open(1_000_000).append(Buffer.alloc(1_000_000));
    const second = memory.account('a');
    expect(() => second.expect(50_000)).toThrow(
      expect.objectContaining({
        code: 'RATE_LIMITED',
        limit: { name: 'bodies_bytes_per_address', value: 600_000, needed: 1_050_000 },
      }),
    );
    memory.account('b').open(150_000).append(Buffer.alloc(150_000));
    expect(() => memory.account('c').expect(100_000)).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }));
  });
});

describe('a body', () => {
  it('that is on its way to another process counts until it has left', () => {
    const memory = createBodyMemory(BUDGET);
    const account = memory.account('a');
    const body = account.open(100_000);
    body.append(Buffer.alloc(100_000));
    const letGo = holdBuffers([body.bytes().buffer]);
    const letGoToo = holdBuffers([body.bytes().buffer]);
    account.release();
    account.release();
    expect(memory.held).toBe(100_000);
    letGo();
    letGo();
    expect(memory.held).toBe(100_000);
    letGoToo();
    expect(memory.held).toBe(0);
  });

  it('takes nothing any more when it has been released', () => {
    const memory = createBodyMemory(BUDGET);
    const account = memory.account('a');
    const body = account.open(MIB);
    account.release();
    body.append(Buffer.alloc(1000));
    account.setOther(1000);
    expect(memory.held).toBe(0);
  });

  it('has other memory beside it, too', () => {
    const memory = createBodyMemory(BUDGET);
    const account = memory.account('a');
    account.setOther(1_000_000);
    expect(() => account.setOther(2_000_000)).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }));
    account.setOther(400_000);
    expect(memory.held).toBe(400_000);
    account.release();
    expect(memory.held).toBe(0);
  });
});
