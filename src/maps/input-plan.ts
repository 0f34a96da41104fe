/**
 * How a photo becomes the network's input, as plain sizes: resize the whole photo, cut a rectangle out of the result.
 * Pure; decode.ts carries a plan out, place.ts carries coordinates through it. A plan may be absurdly large (a 1×20000
 * photo with its short side at 224), so callers check `inputPixels` against their limit before anything is decoded.
 *
 * Rounding follows torchvision, so that inputs are the ones that models were evaluated on: Resize truncates the long
 * side, CenterCrop rounds half to even.
 */

/**
 * What becomes of a photo's shape. `crop`: resized by its short side and cut to a square around its centre, as models
 * are evaluated. `whole`: resized by its short side, nothing is cut. `native`: the photo's own pixels. `stretch`:
 * resized to a square, whatever its shape.
 */
export const FITS = {
  crop: "short side to the model's evaluation size, centre crop",
  whole: 'aspect kept, short side = size',
  native: "the image's own pixels",
  stretch: 'to size × size',
} as const;

export type Fit = keyof typeof FITS;

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

export interface PixelRectangle extends PixelSize {
  readonly left: number;
  readonly top: number;
}

export interface InputRequest {
  readonly fit: Fit;
  /** Pixels of the input's short side, before `scale`. */
  readonly size: number;
  /** For `crop`: pixels of the photo's short side before the cut, before `scale`; at least `size`. */
  readonly resize: number;
  readonly scale: number;
  /**
   * Round the sides that depend on the photo (the long side of `whole` and both of `native`) to multiples of this, for
   * devices that prepare themselves for each size they meet. Default: 1.
   */
  readonly step?: number;
}

export interface InputPlan {
  /** The upright photo. */
  readonly photo: PixelSize;
  /** The photo after the resize. */
  readonly resized: PixelSize;
  /** The part of the resized photo that is the network's input. Its width and height are the input's. */
  readonly crop: PixelRectangle;
  readonly scale: number;
}

/** Plan the input of a photo. No side is ever less than one pixel. */
export function planInput(photo: PixelSize, { fit, size, resize, scale, step = 1 }: InputRequest): InputPlan {
  const side = atLeastOne(Math.round(size * scale));
  const { width, height } = photo;
  const whole = (resized: PixelSize): InputPlan => ({
    photo: { width, height },
    resized,
    crop: { left: 0, top: 0, ...resized },
    scale,
  });
  switch (fit) {
    case 'crop': {
      const resized = withShortSide(photo, Math.max(side, Math.round(resize * scale)));
      return {
        ...whole(resized),
        crop: {
          left: roundHalfToEven((resized.width - side) / 2),
          top: roundHalfToEven((resized.height - side) / 2),
          width: side,
          height: side,
        },
      };
    }
    case 'whole':
      return whole(withShortSide(photo, side, step));
    case 'native':
      return whole({
        width: toMultiple(width * scale, step),
        height: toMultiple(height * scale, step),
      });
    case 'stretch':
      return whole({ width: side, height: side });
  }
}

/** Pixels of the network's input. */
export function inputPixels({ crop }: InputPlan): number {
  return crop.width * crop.height;
}

/**
 * The size with its short side at `short` pixels, aspect kept. The long side is truncated, or rounded to steps above 1.
 */
function withShortSide({ width, height }: PixelSize, short: number, step = 1): PixelSize {
  const long = (short * Math.max(width, height)) / Math.min(width, height);
  const other = step === 1 ? Math.floor(long) : Math.max(short, toMultiple(long, step));
  return width <= height ? { width: short, height: other } : { width: other, height: short };
}

/** The nearest multiple of `step`, but at least `step`. */
function toMultiple(pixels: number, step: number): number {
  return step * Math.max(1, Math.round(pixels / step));
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function atLeastOne(pixels: number): number {
  return Math.max(1, pixels);
}
