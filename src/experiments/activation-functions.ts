/**
 * Four activation functions and their derivatives; they differ below zero only. Pure.
 *
 * Source: Nair 2010 (ReLU), Maas 2013 (Leaky ReLU), He 2015 (PReLU), Clevert 2016 (ELU).
 */

export interface ActivationFunction {
  readonly name: string;
  readonly formula: string;
  readonly derivativeFormula: string;
  readonly of: (x: number) => number;
  /** At 0 that from above. */
  readonly derivative: (x: number) => number;
}

export interface Alphas {
  readonly leaky: number;
  /** Learned; the value is the one that it has before training. */
  readonly prelu: number;
  readonly elu: number;
}

/** The published values; torch's of PReLU. */
export const ALPHAS: Alphas = { leaky: 0.01, prelu: 0.25, elu: 1 };

export function activationFunctions(alphas: Alphas = ALPHAS): readonly ActivationFunction[] {
  const elu = (x: number): number => (x < 0 ? alphas.elu * Math.expm1(x) : x);
  return [
    {
      ...{ name: 'ReLU', formula: 'max(0, x)', derivativeFormula: '0 below zero, 1 above' },
      of: (x) => Math.max(0, x),
      derivative: (x) => (x < 0 ? 0 : 1),
    },
    linearBelow(`Leaky ReLU, α = ${alphas.leaky}`, 'α', alphas.leaky),
    linearBelow(`PReLU, a learned, from ${alphas.prelu} on`, 'a', alphas.prelu),
    {
      ...{ name: `ELU, α = ${alphas.elu}`, formula: 'α·(eˣ − 1) below zero, x above' },
      derivativeFormula: 'f(x) + α below zero, 1 above',
      of: elu,
      derivative: (x) => (x < 0 ? elu(x) + alphas.elu : 1),
    },
  ];
}

function linearBelow(name: string, letter: string, slope: number): ActivationFunction {
  return {
    ...{ name, formula: `${letter}·x below zero, x above`, derivativeFormula: `${letter} below zero, 1 above` },
    of: (x) => (x < 0 ? slope * x : x),
    derivative: (x) => (x < 0 ? slope : 1),
  };
}
