/** The winning class of every position. */

/** The label of a position whose best class is below the least probability. */
export const UNLABELLED = 65535;

export interface LabelMap {
  /** Class indices or UNLABELLED, `[height, width]`. */
  readonly values: Uint16Array;
  readonly width: number;
  readonly height: number;
}
