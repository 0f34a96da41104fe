/** What servers answer to a photograph, and whether two of them compute the same net. Pure but for the parsing. */

export interface Prediction {
  readonly index: number;
  readonly logit: number;
}

export interface Answer {
  /** The best class first. */
  readonly top: readonly Prediction[];
  /** What it was computed in, where the server says it. */
  readonly precision?: string | undefined;
}

/** Our server's answer, or a peer's, which may be in a list. */
interface AnyAnswer {
  readonly top?: Prediction[];
  readonly results?: { predictions: Prediction[] }[];
  readonly model?: { precision: string };
}

export function parseAnswer(text: string): Answer {
  const [answer] = [JSON.parse(text) as AnyAnswer | AnyAnswer[]].flat();
  return { top: answer?.top ?? answer?.results?.[0]?.predictions ?? [], precision: answer?.model?.precision };
}

/** Decoders and resamplers differ by a grey level, so a class may come second whose logit is as good, within this part of it. */
const TIE = 0.02;
/** Photographs, as a part of all, whose best class has to be the same or as good. */
const ENOUGH = 0.9;

/**
 * For how many photographs two servers have the same best class. Throws if more than a tenth of the classes are neither the same
 * nor as good: then it is another net.
 */
export function countSame(expected: readonly Answer[], answers: readonly Answer[]): number {
  const pairs = answers.map(({ top }, index) => ({ top, best: expected[index]?.top[0]?.index }));
  const asGood = pairs.filter(({ top, best }) => {
    const found = top.find(({ index }) => index === best);
    return found !== undefined && Math.abs(found.logit - top[0]!.logit) <= TIE * Math.abs(top[0]!.logit);
  });
  if (asGood.length < ENOUGH * pairs.length) {
    throw new Error(`another best class for ${pairs.length - asGood.length} of ${pairs.length} photographs`);
  }
  return pairs.filter(({ top, best }) => top[0]?.index === best).length;
}
