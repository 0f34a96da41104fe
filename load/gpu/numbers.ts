/** Which numbers an engine can compute in on a kind of device, and how it is told to. Pure. */
import { PRECISIONS, type Precision } from '../../src/models/manifest.js';
import type { EngineDescription } from '../../src/runtime/engine-description.js';
import type { Numbers } from './report.js';

export type HowToCompute =
  /** Variables of the process, and the precision of the models' manifests. */
  | { readonly environment: Readonly<Record<string, string>>; readonly precision: Precision }
  /** Why it cannot, as a sentence that begins with its verb's subject. */
  | { readonly cannot: string };

/** Kinds of device whose libraries are NVIDIA's: cuBLAS and cuDNN round to TF32 unless they are told otherwise. */
const NVIDIA: ReadonlySet<string> = new Set(['cuda', 'tensorrt']);

/** Source: cuBLAS library documentation, "NVIDIA_TF32_OVERRIDE": 0 turns TF32 off in all of NVIDIA's libraries. */
const WITHOUT_TF32 = { NVIDIA_TF32_OVERRIDE: '0' };

export function howToCompute(engine: EngineDescription, kind: string, numbers: Numbers): HowToCompute {
  switch (numbers) {
    case 'fp32':
      return { environment: NVIDIA.has(kind) ? WITHOUT_TF32 : {}, precision: 'fp32' };
    case 'tf32':
      if (!NVIDIA.has(kind)) return { cannot: `TF32 is a format of NVIDIA's libraries, which ${kind} does not use` };
      return { environment: {}, precision: 'fp32' };
    default: {
      const precision = PRECISIONS.find((each) => each === (numbers as string));
      if (precision === undefined) return { cannot: `no model of this program is computed in ${numbers}` };
      if (precision === 'fp16' && !engine.computesHalf(kind)) {
        return { cannot: `${engine.name} does not compute in half precision on ${kind}` };
      }
      if (precision === 'bf16' && engine.contends !== true) {
        return { cannot: `${engine.name} does not compute in bfloat16` };
      }
      return { environment: {}, precision };
    }
  }
}

/** What the engine computes in by itself, without a model or a variable that says otherwise. */
export function ownNumbers(kind: string): Numbers {
  return NVIDIA.has(kind) ? 'tf32' : 'fp32';
}

/**
 * What answers may differ by, as a part of the largest value. Single precision sums in another order; the others round factors to
 * ten bits (TF32, half) or seven (bfloat16), which adds up over a net's layers.
 */
export const BOUNDS: Readonly<Record<Numbers, number>> = { fp32: 1e-4, tf32: 1e-2, fp16: 1e-2, bf16: 5e-2 };
