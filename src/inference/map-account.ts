/**
 * What the class maps of one request take, counted on its plans before anything is decoded: values in the answer, and bytes
 * in the memory of the server's own process while it makes the answer. Each image adds its share. The request is refused as
 * a whole if all of them together are beyond a limit.
 */
import { ServiceError, type ExceededLimit } from '../errors.js';

/**
 * The most bytes that all passes of a request may bring into this process, with the maps that are made of them: 128 MiB.
 * One map of 2240×2240 cells takes 100 MB, and so do the maps of 32 classes of five photographs at 290×290 cells.
 */
const MAX_BYTES = 2 ** 27;

/** The most map values, cells × classes of all images, that an answer of one form may have. */
export interface ValueLimit {
  readonly values: number;
  /** What else could be asked for, for the error: `, or application/x-npy`. */
  readonly orElse?: string;
}

/** 64 MiB as float32: 32 maps of 724×724 cells. */
export const MAX_VALUES: ValueLimit = { values: 2 ** 24 };

/** The maps of one image. */
export interface MapCost {
  /** In the answer. */
  readonly values: number;
  /** In this process, at the most at one time. */
  readonly bytes: number;
}

export interface MapAccount {
  /** Add the maps of an image. Throws IMAGE_TOO_LARGE if the request's maps are now beyond a limit. */
  add(cost: MapCost): void;
  /** Whether `add` has thrown. */
  readonly isExceeded: boolean;
}

/** An account for a request of `images` images. */
export function createMapAccount(images: number, { values: maxValues, orElse = '' }: ValueLimit): MapAccount {
  let values = 0;
  let bytes = 0;
  let isExceeded = false;
  const refuse = (what: string, remedy: string, detail: string, limit: ExceededLimit): never => {
    isExceeded = true;
    throw new ServiceError('IMAGE_TOO_LARGE', `${what} Ask for ${remedy}.`, {
      errors: [{ parameter: 'outputStride', detail }],
      limit,
    });
  };
  const atLeast = images > 1 ? ' at least' : '';
  const smaller = `fewer classes, a coarser outputStride, a smaller size${images > 1 ? ', fewer images' : ''}`;
  return {
    get isExceeded() {
      return isExceeded;
    },
    add(cost) {
      values += cost.values;
      bytes += cost.bytes;
      if (values > maxValues) {
        refuse(
          `The answer would have${atLeast} ${values} map values (cells × classes × images); the limit is ${maxValues}.`,
          `${smaller}${orElse}`,
          `gives${atLeast} ${values} values`,
          { name: 'map_values', value: maxValues, needed: values },
        );
      }
      if (bytes > MAX_BYTES) {
        refuse(
          `The class maps of all passes (images × scales × mirrors) would take${atLeast} ${bytes} bytes; the limit is ${MAX_BYTES}.`,
          `${smaller}, or fewer scales`,
          `gives${atLeast} ${bytes} bytes`,
          { name: 'maps_bytes', value: MAX_BYTES, needed: bytes },
        );
      }
    },
  };
}
