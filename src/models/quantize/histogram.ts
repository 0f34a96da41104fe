/**
 * A histogram of the numbers of a network's value, over any number of tensors. Bins of equal width lie around 0, and
 * double in width when a number lies beyond them. So one pass over the images is enough, and the bins do not depend on
 * the order of the images.
 */

/** Number of bins, half of them for each sign. */
const BINS = 8192;

export class Histogram {
  readonly counts = new Float64Array(BINS);
  #reach = 2 ** -20;
  #least = Infinity;
  #most = -Infinity;

  /** The bins cover −reach to reach. */
  get reach(): number {
    return this.#reach;
  }

  /** Smallest and largest number so far. */
  get least(): number {
    return this.#least;
  }

  get most(): number {
    return this.#most;
  }

  /** The number in the middle of a bin. */
  centre(bin: number): number {
    return (bin + 0.5 - BINS / 2) * this.#width();
  }

  /** Count numbers. Throws Error if one is NaN or infinite. */
  add(values: Float32Array): void {
    let [least, most] = [this.#least, this.#most];
    for (const value of values) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
    this.#least = least;
    this.#most = most;
    const largest = Math.max(-least, most);
    while (!(this.#reach > largest)) this.#widen();
    const { counts } = this;
    const perNumber = 1 / this.#width();
    for (const value of values) {
      if (Number.isNaN(value)) throw new Error('a value of the network is not a number');
      counts[Math.floor(value * perNumber) + BINS / 2]! += 1;
    }
  }

  #width(): number {
    return (2 * this.#reach) / BINS;
  }

  #widen(): void {
    if (this.#reach >= 2 ** 127) throw new Error('a value of the network is not finite');
    const { counts } = this;
    const narrow = counts.slice();
    counts.fill(0);
    for (let bin = 0; bin < BINS; bin += 1) counts[BINS / 4 + (bin >> 1)]! += narrow[bin]!;
    this.#reach *= 2;
  }
}
