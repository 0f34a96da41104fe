/** A parser with a fault behind a word of five bytes, each of which it looks at only if those before it were right. */
export function readToy(bytes: Uint8Array): number {
  if (bytes[0] !== 0x46) return 0;
  if (bytes[1] !== 0x55) return 1;
  if (bytes[2] !== 0x5a) return 2;
  if (bytes[3] !== 0x5a) return 3;
  if (bytes[4] !== 0x59) return 4;
  throw new TypeError('the fault');
}
