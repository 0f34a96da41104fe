import { describe, expect, it } from 'vitest';
import { createBufferPool } from '../../src/buffer-pool.js';

describe('the buffer pool', () => {
  it('hands out a recycled buffer that is large enough and at most twice too large', () => {
    const pool = createBufferPool(1000);
    const buffer = new ArrayBuffer(100);
    pool.recycle(buffer);
    expect(pool.acquire(101)).not.toBe(buffer);
    expect(pool.acquire(49)).not.toBe(buffer);
    expect(pool.acquire(50)).toBe(buffer);
    expect(pool.acquire(50)).not.toBe(buffer);
  });

  it('keeps no more than its limit, and drops what has lain longest', () => {
    const pool = createBufferPool(250);
    const [first, second, third] = [new ArrayBuffer(100), new ArrayBuffer(110), new ArrayBuffer(120)] as const;
    [first, second, third].forEach((buffer) => pool.recycle(buffer));
    expect(pool.acquire(120)).toBe(third);
    expect(pool.acquire(110)).toBe(second);
    expect(pool.acquire(100)).not.toBe(first);
  });

  it('keeps the others when a buffer beyond the limit comes back', () => {
    const pool = createBufferPool(250);
    const small = new ArrayBuffer(100);
    pool.recycle(small);
    pool.recycle(new ArrayBuffer(300));
    expect(pool.acquire(100)).toBe(small);
  });
});
