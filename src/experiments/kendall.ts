/**
 * Kendall's rank correlation of a permutation with the order 0, 1, 2, …: 1 for that order, −1 for its reverse. τ = 1 − 4·d /
 * (n·(n − 1)) for d pairs in the wrong order (Kendall 1938). 1 for fewer than two elements.
 */
export function kendallTau(order: readonly number[]): number {
  const pairs = (order.length * (order.length - 1)) / 2;
  const wrong = order.reduce(
    (sum, element, index) => sum + order.slice(index + 1).filter((later) => later < element).length,
    0,
  );
  return pairs === 0 ? 1 : 1 - (2 * wrong) / pairs;
}
