/** Axes that fit their data, with round numbers. Pure. */

export interface Axis {
  readonly type: 'log' | 'linear';
  readonly label: string;
  readonly domain: [number, number];
  readonly ticks: number[];
}

const STEPS = [1, 2, 5];
const MOST_TICKS = 12;
/** Round numbers of six decades. */
const MOST_LOG_TICKS = 18;
/** Room at both ends of a fitted axis, as a part of what it spans. */
const ROOM = 0.03;

/** A logarithmic axis from the smallest value to the largest, further at both ends by the factor `margin`. */
export function logAxis(label: string, values: readonly number[], margin: number): Axis {
  const domain: [number, number] = [Math.min(...values) / margin, Math.max(...values) * margin];
  const ticks = roundNumbers(domain);
  return { type: 'log', label, domain, ticks: ticks.length > MOST_LOG_TICKS ? powersOfTen(domain) : ticks };
}

/** Powers of ten between two numbers, as many as fit on an axis. */
function powersOfTen([from, to]: readonly [number, number]): number[] {
  const [first, last] = [Math.ceil(Math.log10(from)), Math.floor(Math.log10(to))];
  const step = Math.ceil((last - first + 1) / MOST_TICKS);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) =>
    Number(`1e${first + index * step}`),
  );
}

/** 1, 2, 5, 10, … between two numbers. */
export function roundNumbers([from, to]: readonly [number, number]): number[] {
  return decades(Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))).filter(
    (number) => number >= from && number <= to,
  );
}

/** A linear axis from the smallest value to the largest, further at both ends by `margin`. */
export function linearAxis(label: string, values: readonly number[], margin: number): Axis {
  const [from, to] = [Math.min(...values) - margin, Math.max(...values) + margin];
  const least = (to - from) / MOST_TICKS;
  const power = Math.floor(Math.log10(least));
  const step = decades(power, power + 1).find((number) => number >= least)!;
  const first = Math.ceil(from / step);
  const ticks = Array.from({ length: Math.floor(to / step) - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
  return { type: 'linear', label, domain: [from, to], ticks };
}

/** A linear axis with some room at both ends. */
export function fittedAxis(label: string, values: readonly number[]): Axis {
  const span = Math.max(...values) - Math.min(...values);
  return linearAxis(label, values, ROOM * (span || 1));
}

/** 1, 2 and 5 times each of these powers of ten. */
function decades(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index).flatMap((exponent) =>
    STEPS.map((step) => Number(`${step}e${exponent}`)),
  );
}
