/**
 * Which two sessions must give the same logits before a model is trusted: the class map's mean and the file's own net, half
 * precision and single. parity.ts runs them.
 */
import { createHash } from 'node:crypto';
import type { Graph } from '../graph/graph.js';
import { averageClassMap } from '../graph/passes/average-class-map.js';
import { halfWeights, reportWeights } from '../graph/passes/report-weights.js';
import type { SessionSpec } from '../runtime/session.js';
import type { Size } from './input-size.js';
import type { Precision } from './manifest.js';
import type { Network, OriginalNet } from './networks/network.js';
import { narrowed, type SessionOptions, type SessionWriter } from './session-writer.js';

/** Two sessions that must give the same logits for an image of the native size. */
export interface ParityCheck {
  /** The net as in its file, or in single precision. */
  readonly original: SessionSpec;
  /** Whether the original runs without the engine's optimizations. */
  readonly asWritten: boolean;
  /** The mean of the class map, or the net in half precision. */
  readonly converted: SessionSpec;
  /** The weights whose largest values the converted net reports (passes/report-weights.ts). */
  readonly weights?: readonly string[];
  readonly nativeSize: Size;
  /** Largest allowed difference, as a part of the largest absolute logit. */
  readonly tolerance: number;
  /** sha256 over the two graphs and the weights, hexadecimal. */
  readonly digest: string;
}

/** Bounds for the error of rounding, as a part of the largest absolute logit. */
export const TOLERANCE = { float32: 1e-3, float16: 1e-2 };

/** How sessions of a half precision are written; undefined of another precision. */
export function halfForm(precision: Precision): HalfForm | undefined {
  switch (precision) {
    case 'fp16':
      return { inHalf: true };
    case 'bf16':
      return { autocast: precision };
    default:
      return undefined;
  }
}

export type HalfForm = Pick<SessionOptions, 'inHalf' | 'autocast'>;

/** The check of the class map's mean against the logits of the file's own net. */
export function parityCheckOf(
  original: OriginalNet,
  classMap: Graph,
  network: Network,
  write: SessionWriter,
): ParityCheck {
  return parityCheck(network, {
    original: write('original', original.graph),
    converted: write('score-parity', classMap, { ends: [averageClassMap()] }),
    // As written, a quantized net computes in float between its roundings, unlike the net that is served.
    asWritten: !original.graph.nodes.some(({ op }) => op === 'QuantizeLinear'),
    tolerance: original.isHalf ? TOLERANCE.float16 : TOLERANCE.float32,
  });
}

/**
 * The check of the net in half precision against itself in single: by its class map if it has one.
 * @param tolerance As a part of the largest absolute logit.
 */
export function halfCheckOf(
  network: Network,
  write: SessionWriter,
  form: HalfForm,
  tolerance: number = TOLERANCE.float16,
): ParityCheck {
  const { classifier, dense } = network;
  const [net, ends] = 'graph' in dense ? [dense.graph, [averageClassMap()]] : [classifier, []];
  if (form.autocast !== undefined) {
    return parityCheck(network, {
      original: write('single-parity', net, { ends }),
      converted: write('half-parity', net, { ends, ...form }),
      asWritten: false,
      tolerance,
    });
  }
  const half = narrowed(net);
  const weights = halfWeights(half);
  return {
    ...parityCheck(network, {
      original: write('single-parity', net, { ends }),
      converted: write('half-parity', half, { ends: [...ends, ...(weights.length === 0 ? [] : [reportWeights()])] }),
      asWritten: false,
      tolerance,
    }),
    weights,
  };
}

function parityCheck(
  { nativeSize, weightsDigest }: Network,
  compared: Pick<ParityCheck, 'original' | 'asWritten' | 'converted' | 'tolerance'>,
): ParityCheck {
  const { original, converted, asWritten } = compared;
  const digest = createHash('sha256').update(weightsDigest).update(original.model).update(converted.model);
  if (asWritten) digest.update('as written');
  if (converted.autocast !== undefined) digest.update(converted.autocast);
  return { ...compared, nativeSize, digest: digest.digest('hex') };
}
