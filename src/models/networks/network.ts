/**
 * A classifier on its way from a model's folder to the engine, in one form for all sources: graphs over weights that
 * stay in files. built-in.ts makes it from the name of an architecture, onnx-network.ts and tfjs-network.ts from a file
 * that holds the architecture.
 */
import type { KernelCentres } from '../../graph/geometry.js';
import type { Graph } from '../../graph/graph.js';
import type { PixelSize } from '../../maps/input-plan.js';
import type { Activation } from '../../maps/scores.js';
import type { StampedFile } from '../../regular-files.js';

/** What the numbers are that a classifier's file gives. What its sessions give are logits. */
export const OUTPUTS = {
  logits: 'raw scores',
  probabilities: 'what sums to 1 over the classes, as a softmax gives',
  sigmoid: 'the sigmoid of each score',
} as const;

export type OutputKind = keyof typeof OUTPUTS;

export interface Network {
  /** float32 [N, 3, H, W], or [N, 1, H, W] for grey pictures, normalized → `logits` float32 [N, K]. */
  readonly classifier: Graph;
  /** The same weights as a fully convolutional net, or why they cannot be one. */
  readonly dense: ConvolutionalNet | Unavailable;
  /** The images that the classifier was made for, in pixels. */
  readonly nativeSize: PixelSize;
  /** The net takes pixels as they are, 0 to 255: its own input is of an integer type. */
  readonly takesPixels?: boolean;
  readonly parameters: number;
  /** What its file gives. */
  readonly output: OutputKind;
  /** What makes probabilities of `logits`. */
  readonly activation: Activation;
  /** sha256 of the file that the manifest names, hexadecimal. */
  readonly fileDigest: string;
  /** sha256 over all files that hold weights, hexadecimal. */
  readonly weightsDigest: string;
  /** The folder that the graphs' external data is relative to. */
  readonly weightsFolder: string;
  /** The files in it that hold weights. */
  readonly weightsFiles: readonly StampedFile[];
  /** Present for a rewritten net: the dense view must agree with it at the native size. */
  readonly original?: OriginalNet;
}

export interface ConvolutionalNet {
  /** float32 [N, 3, H, W], normalized → class map float32 [N, K, h, w]. */
  readonly graph: Graph;
  /**
   * The head applied to each cell of the last map, → class map float32 [N, K, h, w]. Of nets whose head is not affine: its mean is not
   * the logits, and a cell is no classification.
   */
  readonly cells?: Graph;
  /** Whether the net ends in global average pooling: then the class map's mean equals the logits at any size. */
  readonly poolsGlobally: boolean;
  /** It takes sides that are multiples of this, and hardly others. Default: 1. */
  readonly sizeStep?: number;
  /** Where the kernels look. Default: all look at their middles. */
  readonly kernelCentres?: KernelCentres;
}

export interface Unavailable {
  /** The reason, for clients: it reveals nothing about the machine. */
  readonly unavailable: string;
}

export interface OriginalNet {
  /** float32 [N, 3, H, W] → `logits` as computed by the file's net. */
  readonly graph: Graph;
  /** Whether it computes in half precision. */
  readonly isHalf: boolean;
}
