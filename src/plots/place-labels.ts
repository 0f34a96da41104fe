/**
 * Decides where the labels of circles go: beside their circle, or further away if there is no room. Greedy, the most
 * crowded circle first: each label takes the place with the least overlap. Pure; all lengths are pixels.
 */

export interface Circle {
  readonly x: number;
  readonly y: number;
  readonly r: number;
  /** Width and height of its label. */
  readonly width: number;
  readonly height: number;
}

export interface Bounds {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The middle of a label, and whether it needs a line to its circle. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly apart: boolean;
}

const DIRECTIONS = Array.from({ length: 16 }, (_, index) => (index * Math.PI) / 8);
const DISTANCES = [2, 8, 16, 26, 38, 52, 68, 86];
/** A label over another is illegible, one over a circle only untidy. */
const OVER_LABEL = 20;
const OVER_CIRCLE = 2;
/** Pixels² of overlap that are as bad as a pixel further away. */
const FURTHER = 1.5;
const CROWD = 60;

/** A place for each circle's label, in the order of the circles. */
export function placeLabels(circles: readonly Circle[], bounds: Bounds): Place[] {
  const neighbours = (circle: Circle): number =>
    circles.filter(({ x, y }) => Math.hypot(x - circle.x, y - circle.y) < CROWD).length;
  const order = circles
    .map((circle, index) => ({ circle, index, crowd: neighbours(circle) }))
    .sort((a, b) => b.crowd - a.crowd);
  const taken: Bounds[] = [];
  const places: Place[] = [];
  for (const { circle, index } of order) {
    const { place, box } = bestPlace(circle, circles, taken, bounds);
    taken.push(box);
    places[index] = place;
  }
  return places;
}

function bestPlace(
  circle: Circle,
  circles: readonly Circle[],
  taken: readonly Bounds[],
  bounds: Bounds,
): { place: Place; box: Bounds } {
  let best: { place: Place; box: Bounds; cost: number } | undefined;
  for (const distance of DISTANCES) {
    for (const angle of DIRECTIONS) {
      const x = circle.x + Math.cos(angle) * (circle.r + distance + circle.width / 2);
      const y = circle.y + Math.sin(angle) * (circle.r + distance + circle.height / 2);
      const box = boxAround(x, y, circle);
      const outside = box.left < bounds.left || box.right > bounds.right || box.top < bounds.top;
      if (outside || box.bottom > bounds.bottom) continue;
      const overLabels = taken.reduce((sum, other) => sum + overlap(box, other), 0);
      const overCircles = circles.reduce((sum, other) => sum + overlap(box, squareOf(other)), 0);
      const cost = OVER_LABEL * overLabels + OVER_CIRCLE * overCircles + FURTHER * distance;
      if (best === undefined || cost < best.cost) best = { place: { x, y, apart: distance > 8 }, box, cost };
    }
  }
  if (best !== undefined) return best;
  // A label that fits nowhere in the plot goes to the middle of its circle.
  const { x, y } = circle;
  return { place: { x, y, apart: false }, box: boxAround(x, y, circle) };
}

function boxAround(x: number, y: number, { width, height }: Circle): Bounds {
  return { left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2 };
}

/** A label hides a circle that is smaller than this. */
const SMALLEST = 3;

/** A square of nearly the same area as the circle. */
function squareOf({ x, y, r }: Circle): Bounds {
  const half = Math.max(0.9 * r, SMALLEST);
  return { left: x - half, top: y - half, right: x + half, bottom: y + half };
}

function overlap(a: Bounds, b: Bounds): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}
