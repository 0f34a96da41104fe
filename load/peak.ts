/**
 * What the machine can multiply and add at most, as the engine reaches it: matrix products on the service's own workers
 * and threads, all of them busy, in the same run as everything that is compared with it.
 */
import type { Graph } from '../src/graph/graph.js';
import { writeOnnx } from '../src/graph/onnx/model.js';
import type { Work, WorkOutput } from '../src/inference/work.js';
import type { WorkerPool } from '../src/processes/pool.js';
import { keepBusy } from './parts.js';

export interface Peak {
  /** GMAC/s: 10⁹ multiply-adds a second. */
  measure(seconds: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

const SIDES = [256, 512, 1024, 2048];
/** One after the other in a run, so that what goes in and comes out weighs little. */
const PRODUCTS = 4;

/** Finds the side of the matrices that is fastest here. */
export async function openPeak(
  pool: WorkerPool<Work, WorkOutput>,
  seconds: number,
  signal: AbortSignal,
): Promise<Peak> {
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

async function multiply(
  pool: WorkerPool<Work, WorkOutput>,
  side: number,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const values = side * side;
  const runs = await keepBusy(pool.size, seconds, signal, async () => {
    const data = new Float32Array(values).fill(1);
    await pool.run(sessionOf(side), [{ batch: { matrix: { type: 'float32', dims: [side, side], data } } }]);
  });
  return (runs * PRODUCTS * side ** 3) / 1e9;
}

/** `matrix` [n, n] → matrix · F⁴ with F = 1/n everywhere, which keeps ones at one: no number grows, none is denormal. */
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
