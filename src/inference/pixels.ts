/**
 * Third step of a request, **pixels**: decodes the photo into the network's inputs. Each input is decoded when a pass
 * first asks for it and a decoder is free. The mirrored pass of the same scale mirrors those pixels. An input is
 * forgotten here as soon as both passes have it, because a request may have many scales and inputs are large. A pass
 * that is run again, which is rare, decodes again.
 */
import pLimit from 'p-limit';
import { decodeInput, type Background } from '../images/decode.js';
import type { InputPlan } from '../maps/input-plan.js';
import type { ImagePlan, PassPlan } from './plan.js';
import { checkAlive, type RequestContext } from './request-context.js';
import type { PhaseObserver } from './timing.js';

export interface InputPixels {
  /** `[h, w, 3]`. Must not be changed: another pass may hold the same buffer. */
  readonly pixels: Uint8Array;
  /** Waiting for a free decoder. */
  readonly waitedMs: number;
  /** 0 if the pixels were decoded for another pass. */
  readonly decodeMs: number;
}

/** The pixels of one image's passes. Rejects with IMAGE_UNDECODABLE, or with the error of checkAlive. */
export type PixelSource = (pass: PassPlan, context: RequestContext) => Promise<InputPixels>;

export interface DecoderOptions {
  /** Inputs decoded at the same time, of all images. */
  readonly decoders: number;
  /** The colour behind transparent pixels. */
  readonly background: Background;
  readonly observe: PhaseObserver;
}

/** Makes the source of an image's pixels from its encoded bytes and the plan for these bytes. */
export function createDecoder({
  decoders,
  background,
  observe,
}: DecoderOptions): (bytes: Uint8Array, plan: ImagePlan) => PixelSource {
  const slots = pLimit(decoders);

  interface Decoded {
    readonly pixels: Uint8Array;
    readonly startedMs: number;
    readonly decodeMs: number;
  }

  return (bytes, { header, interpolation, model, passes }) => {
    /** Inputs decoded or being decoded, and how many passes still want each. */
    const inputs = new Map<InputPlan, { readonly decoding: Promise<Decoded>; wanted: number }>();

    const decode = (input: InputPlan, context: RequestContext): Promise<Decoded> =>
      slots(async () => {
        checkAlive(context);
        const startedMs = performance.now();
        const pixels = await decodeInput(bytes, header, input, { interpolation, background });
        const decodeMs = performance.now() - startedMs;
        observe('decode', model, decodeMs);
        return { pixels, startedMs, decodeMs };
      });

    return async ({ input, mirrored }, context) => {
      const arrivedMs = performance.now();
      const known = inputs.get(input);
      const shared = known ?? {
        decoding: decode(input, context),
        wanted: passes.filter((p) => p.input === input).length,
      };
      shared.wanted -= 1;
      if (shared.wanted > 0) inputs.set(input, shared);
      else inputs.delete(input);
      const { pixels, startedMs, decodeMs } = await shared.decoding;
      return {
        pixels: mirrored ? mirror(pixels, input.crop.width) : pixels,
        waitedMs: Math.max(0, startedMs - arrivedMs),
        decodeMs: known === undefined ? decodeMs : 0,
      };
    };
  };
}

/** The image mirrored left to right, in a new buffer. `[h, w, 3]` */
function mirror(pixels: Uint8Array, width: number): Uint8Array {
  const mirrored = new Uint8Array(pixels.length);
  const stride = width * 3;
  for (let row = 0; row < pixels.length; row += stride) {
    for (let x = 0; x < stride; x += 3) {
      const from = row + x;
      const to = row + stride - 3 - x;
      mirrored[to] = pixels[from]!;
      mirrored[to + 1] = pixels[from + 1]!;
      mirrored[to + 2] = pixels[from + 2]!;
    }
  }
  return mirrored;
}
