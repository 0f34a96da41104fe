/**
 * Measures the most multiply-adds a second that the engine reaches on this machine: matrix products on the service's
 * own workers and threads, all of them busy. They run in the same run as everything that is compared with them.
 */
import type { Graph } from '../src/graph/graph.js';
import { writeOnnx } from '../src/graph/onnx/model.js';
import type { WorkerPool } from '../src/runtime/pool.js';
import { keepBusy } from './parts.js';

export interface Peak {
  /** GMAC/s: 10⁹ multiply-adds a second. */
  measure(seconds: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

const SIDES = [256, 512, 1024, 2048];
/** Products in a run, one after the other, so that its input and output weigh little. */
const PRODUCTS = 4;

/** Finds the matrix side that is fastest here. Its session stays open until `close`. */
export async function openPeak(pool: WorkerPool, seconds: number, signal: AbortSignal): Promise<Peak> {
  const rates: { side: number; rate: number }[] = [];
  for (const side of SIDES) {
    await pool.open({ id: sessionOf(side), model: writeOnnx(productGraph(side)) });
    rates.push({ side, rate: await multiply(pool, side, seconds / SIDES.length, signal) });
  }
  const { side: best } = rates.reduce((a, b) => (b.rate > a.rate ? b : a));
  for (const side of SIDES.filter((each) => each !== best)) await pool.close(sessionOf(side));
  return {
    measure: (seconds, signal) => multiply(pool, best, seconds, signal),
    close: () => pool.close(sessionOf(best)),
  };
}

const sessionOf = (side: number): string => `peak/${side}`;

async function multiply(pool: WorkerPool, side: number, seconds: number, signal: AbortSignal): Promise<number> {
  const values = side * side;
  const runs = await keepBusy(pool.size, seconds, signal, async () => {
    const buffer = pool.acquireBuffer(4 * values);
    const data = new Float32Array(buffer, 0, values).fill(1);
    await pool.run(sessionOf(side), { matrix: { type: 'float32', dims: [side, side], data } });
  });
  return (runs * PRODUCTS * side ** 3) / 1e9;
}

/**
 * `matrix` [n, n] → matrix · F⁴ with F = 1/n everywhere. It keeps ones at one, so that no number grows or becomes
 * denormal.
 */
function productGraph(side: number): Graph {
  const names = Array.from({ length: PRODUCTS }, (_, index) => `product${index}`);
  const bytes = new Uint8Array(new Float32Array(side * side).fill(1 / side).buffer);
  const dims = [side, side];
  return {
    name: 'peak',
    opset: 18,
    inputs: [{ name: 'matrix', dataType: 'float32', dims }],
    outputs: [{ name: names.at(-1)!, dataType: 'float32', dims }],
    nodes: names.map((name, index) => ({
      op: 'MatMul',
      name,
      inputs: [names[index - 1] ?? 'matrix', 'factor'],
      outputs: [name],
      attributes: {},
    })),
    initializers: new Map([['factor', { name: 'factor', dataType: 'float32', dims, data: { kind: 'inline', bytes } }]]),
  };
}
