/**
 * What the images of a request cost together. The budget pays once, when all of them are planned: so no image of a request runs
 * that costs more than is left.
 */
import type { Budget } from './request-context.js';

/** An image's share of the bill. Exactly one of the three must be called; further calls do nothing. */
export interface Share {
  /** The image is planned. Resolves when the whole bill is paid; rejects with RATE_LIMITED if it cannot be. */
  pay(multiplyAdds: number): Promise<void>;
  /** The image has failed, and costs nothing. */
  leave(): void;
  /** The whole request has failed: nothing is paid that is not paid yet. */
  fail(error: Error): void;
}

/** The bill of a request, as the shares of its images. */
export function createBill(images: number, budget: Budget): readonly Share[] {
  let open = images;
  let sum = 0;
  let hasFailed = false;
  const { promise: paid, resolve, reject } = withResolvers();
  // Whoever has left does not wait for it.
  paid.catch(() => undefined);

  function settle(): void {
    open -= 1;
    if (open > 0 || hasFailed) return;
    try {
      budget.spend(sum);
      resolve();
    } catch (error) {
      reject(error as Error);
    }
  }

  return Array.from({ length: images }, () => {
    let isOpen = true;
    const close = (cost: number): void => {
      if (!isOpen) return;
      isOpen = false;
      sum += cost;
      settle();
    };
    return {
      pay(multiplyAdds) {
        close(multiplyAdds);
        return paid;
      },
      leave: () => close(0),
      fail(error) {
        if (!isOpen) return;
        isOpen = false;
        hasFailed = true;
        reject(error);
      },
    };
  });
}

/** As Promise.withResolvers, which Node 20 lacks. */
function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (reason: Error) => void } {
  let resolve: () => void = () => undefined;
  let reject: (reason: Error) => void = () => undefined;
  const promise = new Promise<void>((keep, fail) => {
    resolve = keep;
    reject = fail;
  });
  return { promise, resolve, reject };
}
