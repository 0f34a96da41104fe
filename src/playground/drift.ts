/** Puts into words how the best class fares as the picture is enlarged. Pure. */
import { percent } from './percent.js';

interface Prediction {
  readonly index: number;
  readonly label: string;
  readonly probability?: number | undefined;
}

/**
 * Say where the best class at scale 1 is lost, or how sure the network still is of it at the largest scale; undefined
 * until there is an answer at 1 and at a larger scale. `answers` has one entry for each of `scales`, best class first,
 * undefined where nothing is known.
 */
export function describeDrift(
  scales: readonly number[],
  answers: readonly (readonly Prediction[] | undefined)[],
): string | undefined {
  const known = scales.flatMap((scale, at) => {
    const predictions = answers[at];
    return scale < 1 || !predictions?.length ? [] : [{ scale, predictions }];
  });
  const [own, ...larger] = known;
  if (own?.scale !== 1 || larger.length === 0) return undefined;
  const { index, label } = own.predictions[0]!;
  const sure = ({ scale, predictions }: (typeof known)[number]): string =>
    `${percent(predictions.find((found) => found.index === index)?.probability ?? 0)} at ${scale}×`;
  const lost = larger.findIndex(({ predictions }) => predictions[0]!.index !== index);
  const kept = lost < 0 ? larger : larger.slice(0, lost);
  const last = kept.at(-1);
  const held = `“${label}” has ${sure(own)}${last === undefined ? '' : ` and is still first with ${sure(last)}`}.`;
  if (lost < 0) return held;
  const { scale, predictions } = larger[lost]!;
  return `${held} At ${scale}× it is lost: the network says “${predictions[0]!.label}”.`;
}
