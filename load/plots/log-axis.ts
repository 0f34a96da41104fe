/** A logarithmic axis that fits its data, with round numbers. Pure. */

export interface LogAxis {
  readonly label: string;
  readonly domain: [number, number];
  readonly ticks: number[];
}

const STEPS = [1, 2, 5];

/** An axis from the smallest value to the largest, further at both ends by the factor `margin`. */
export function logAxis(label: string, values: readonly number[], margin: number): LogAxis {
  const domain: [number, number] = [Math.min(...values) / margin, Math.max(...values) * margin];
  return { label, domain, ticks: roundNumbers(domain) };
}

/** 1, 2, 5, 10, … between two numbers. */
export function roundNumbers([from, to]: readonly [number, number]): number[] {
  const numbers: number[] = [];
  for (let exponent = Math.floor(Math.log10(from)); exponent <= Math.ceil(Math.log10(to)); exponent++) {
    numbers.push(...STEPS.map((step) => Number(`${step}e${exponent}`)));
  }
  return numbers.filter((number) => number >= from && number <= to);
}
