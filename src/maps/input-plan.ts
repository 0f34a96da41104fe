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
 * are evaluated, or to the model's own shape if that is another. `whole`: resized by its short side, nothing is cut. `native`:
 * the photo's own pixels. `stretch`: resized to a square, or to the model's own shape, whatever the photo's shape is.
 */
export const FITS = {
  crop: "short side to the model's evaluation size, centre crop",
  whole: 'aspect kept, short side = size',
  native: "the image's own pixels",
  stretch: "to the shape of the model's input",
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

/** The size of a model's input as its manifest says it: the side of a square, or height and width. */
export type StatedSize = number | readonly [height: number, width: number];

export function pixelSize(stated: StatedSize): PixelSize {
  const [height, width] = typeof stated === 'number' ? [stated, stated] : stated;
  return { width, height };
}

export function shortSide(stated: number | readonly number[]): number {
  return typeof stated === 'number' ? stated : Math.min(...stated);
}

/** A size of the same shape whose short side has `short` pixels. */
export function ofSameShape(stated: StatedSize, short: number): StatedSize {
  if (typeof stated === 'number') return short;
  const [height, width] = stated;
  const factor = short / shortSide(stated);
  return [atLeastOne(Math.round(height * factor)), atLeastOne(Math.round(width * factor))];
}

export interface InputRequest {
  readonly fit: Fit;
  /** Pixels of the input, before `scale`. `whole` takes its short side. */
  readonly size: StatedSize;
  /**
   * For `crop`: pixels of the photo's short side before the cut, before `scale`. The photo is larger where the cut would not fit into
   * it.
   */
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
  const asked = pixelSize(size);
  const cut = {
    width: atLeastOne(Math.round(asked.width * scale)),
    height: atLeastOne(Math.round(asked.height * scale)),
  };
  const side = Math.min(cut.width, cut.height);
  const { width, height } = photo;
  const whole = (resized: PixelSize): InputPlan => ({
    photo: { width, height },
    resized,
    crop: { left: 0, top: 0, ...resized },
    scale,
  });
  switch (fit) {
    case 'crop': {
      const resized = toCover(withShortSide(photo, Math.max(side, Math.round(resize * scale))), cut);
      return {
        ...whole(resized),
        crop: {
          left: roundHalfToEven((resized.width - cut.width) / 2),
          top: roundHalfToEven((resized.height - cut.height) / 2),
          ...cut,
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
      return whole(cut);
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

/** The size, or the smallest of its shape that the cut fits into. */
function toCover(size: PixelSize, cut: PixelSize): PixelSize {
  const factor = Math.max(1, cut.width / size.width, cut.height / size.height);
  if (factor === 1) return size;
  return {
    width: Math.max(cut.width, Math.floor(size.width * factor)),
    height: Math.max(cut.height, Math.floor(size.height * factor)),
  };
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
