/** A class's map as the page keeps it, with its times. Types only. */
import type { Timing } from '../client/index.js';
import type { PixelRectangle, PixelSize } from '../maps/input-plan.js';
import type { Placement } from '../maps/place.js';
import type { ClassMap } from '../maps/row-sampler.js';

/** The server's own times, and the time from the question to the answer. */
export interface AskedTiming extends Timing {
  readonly roundTripMs: number;
}

/** One class's map, and where it lies in the photo. */
export interface PlacedMap {
  readonly index: number;
  readonly label: string;
  readonly peak: number;
  readonly map: ClassMap;
  readonly placement: Placement;
  /** The part of the photo that the network saw. */
  readonly covered: PixelRectangle;
  readonly photo: PixelSize;
  readonly timing: AskedTiming;
}
