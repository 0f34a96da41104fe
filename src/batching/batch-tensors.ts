/**
 * The memory of a batch: stacks items of equal shapes along a new leading axis, and cuts a batch's outputs apart along
 * it. Row-major layout makes both plain copies of consecutive bytes.
 */
import { TYPED_ARRAYS, type Tensor, type TensorMap } from '../tensor.js';

/** A key that is equal for feeds that can be one batch: those with equal names, types and shapes. */
export function shapeKey(feeds: TensorMap): string {
  return Object.entries(feeds)
    .map(([name, { type, dims }]) => `${name}:${type}[${dims.join(',')}]`)
    .sort()
    .join(' ');
}

/**
 * Stack non-empty items of one shapeKey: `[…]` × n → `[n, …]`. The result lies in buffers from `acquire`, which may be
 * longer than the data; the items are only read.
 */
export function stackItems(items: readonly TensorMap[], acquire: (byteLength: number) => ArrayBuffer): TensorMap {
  const stacked: Record<string, Tensor> = {};
  for (const [name, { type, dims, data: first }] of Object.entries(items[0] ?? {})) {
    const buffer = acquire(items.length * first.byteLength);
    const bytes = new Uint8Array(buffer);
    items.forEach((item, index) => {
      const { data } = item[name]!;
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), index * first.byteLength);
    });
    const data = new TYPED_ARRAYS[type](buffer, 0, items.length * first.length);
    stacked[name] = { type, dims: [items.length, ...dims], data };
  }
  return stacked;
}

/**
 * Cut a batch's outputs into its `count` items: `[n, …]` → `[…]` × n, each with memory of its own unless there is only
 * one. Throws if an output's leading axis is not the batch: then the model breaks an invariant.
 */
export function splitItems(outputs: TensorMap, count: number): TensorMap[] {
  const items = Array.from({ length: count }, (): Record<string, Tensor> => ({}));
  for (const [name, { type, dims, data }] of Object.entries(outputs)) {
    if (dims[0] !== count) throw new Error(`the output ${name} [${dims.join(',')}] is not a batch of ${count}`);
    const length = data.length / count;
    items.forEach((item, index) => {
      const own = count === 1 ? data : data.slice(index * length, (index + 1) * length);
      item[name] = { type, dims: dims.slice(1), data: own };
    });
  }
  return items;
}
