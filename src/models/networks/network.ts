/**
 * A classifier on its way from a model's folder to the engine, wherever it came from: graphs over weights that lie in
 * files. built-in.ts makes it from an architecture's name, onnx-network.ts and tfjs-network.ts from a file that says its
 * own.
 */
import type { KernelCentres } from '../../graph/geometry.js';
import type { Graph } from '../../graph/graph.js';

export interface Network {
  /** float32 [N, 3, H, W], normalized → `logits` float32 [N, K]. */
  readonly classifier: Graph;
  /** The same weights as a fully convolutional net, or why they cannot be one. */
  readonly dense: ConvolutionalNet | Unavailable;
  /** The size the classifier was made for, in pixels. */
  readonly nativeSize: number;
  readonly parameters: number;
  /** sha256 of the file that the manifest names, hexadecimal. */
  readonly fileDigest: string;
  /** sha256 over all files that hold weights, hexadecimal. */
  readonly weightsDigest: string;
  /** What the graphs' external data is relative to. */
  readonly weightsFolder: string;
  /** For a net that was rewritten: what the dense view has to agree with at the native size. */
  readonly original?: OriginalNet;
}

export interface ConvolutionalNet {
  /** float32 [N, 3, H, W], normalized → class map float32 [N, K, h, w]. */
  readonly graph: Graph;
  /** The mean of the class map is the classifier at any size: it ends in global average pooling. */
  readonly poolsGlobally: boolean;
  /** Where its kernels look; left out, all of them look at their middles. */
  readonly kernelCentres?: KernelCentres;
}

export interface Unavailable {
  /** For clients: it names nothing of the machine. */
  readonly unavailable: string;
}

export interface OriginalNet {
  /** float32 [N, 3, H, W] → `logits`, as the file computes them. */
  readonly graph: Graph;
  /** It computes in half precision. */
  readonly isHalf: boolean;
}
