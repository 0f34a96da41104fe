/**
 * Which steps a run has, by worth, and how long each may take. A step gets its part, by weight, of the time that is left for it and
 * all that follow, so that what one saves or a skipped one leaves goes to the others, and the whole never takes longer than was
 * said. Pure.
 */
import { ENGINES } from '../../src/runtime/engines.js';
import { howToCompute, ownNumbers } from './numbers.js';
import { NUMBERS, type DeviceName, type Numbers } from './report.js';

export const STEP_KINDS = [
  'devices',
  'answers',
  'engine',
  'torch',
  'decoding',
  'fronts',
  'server',
  'heatmaps',
] as const;
export type StepKind = (typeof STEP_KINDS)[number];

export interface PlannedStep {
  readonly kind: StepKind;
  readonly device?: DeviceName;
  readonly numbers?: Numbers;
  readonly weight: number;
}

/** The first step; what the others are follows from what it finds. */
export const FIRST: PlannedStep = { kind: 'devices', weight: 45 };

/** Every engine with every kind of device that it knows, the reference first. */
export const ALL_DEVICES: readonly DeviceName[] = ENGINES.flatMap(({ name, kinds }) =>
  kinds.map((kind) => `${name}/${kind}`),
);

/** The device that others are held against: the default engine's, which exists on every machine. */
export const REFERENCE: DeviceName = ALL_DEVICES[0]!;

export function partsOf(device: DeviceName): { readonly engine: (typeof ENGINES)[number]; readonly kind: string } {
  const [name, kind = ''] = device.split('/');
  return { engine: ENGINES.find((engine) => engine.name === name)!, kind };
}

/**
 * The devices in the order in which they are measured: those that an engine would choose by itself, then those that take minutes
 * before their first answer, and the CPUs last.
 */
export function inOrderOfWorth(devices: readonly DeviceName[]): DeviceName[] {
  const rank = (device: DeviceName): number => {
    const { engine, kind } = partsOf(device);
    if (engine.automatic.includes(kind)) return engine.automatic.indexOf(kind);
    return kind === engine.kinds[0] ? 1000 : 100;
  };
  return devices.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * The steps after the first. `devices`: those that work, the reference left out. Where there is no other, the reference stands in
 * for one.
 */
export function planSteps(devices: readonly DeviceName[]): PlannedStep[] {
  const [first = REFERENCE, ...others] = inOrderOfWorth(devices);
  const own = ownNumbers(partsOf(first).kind);
  const possible = NUMBERS.filter((numbers) => isPossible(first, numbers));
  const half = possible.includes('fp16') ? 'fp16' : undefined;
  const at = (kind: StepKind, device: DeviceName, numbers: Numbers, weight: number): PlannedStep => ({
    ...{ kind, device, numbers, weight },
  });
  return [
    at('answers', first, own, 35),
    at('engine', first, own, 60),
    { kind: 'torch', weight: 60 },
    { kind: 'decoding', weight: 10 },
    { kind: 'fronts', weight: 20 },
    at('server', first, own, 70),
    ...(half === undefined
      ? []
      : [at('answers', first, half, 15), at('engine', first, half, 35), at('server', first, half, 35)]),
    at('heatmaps', first, own, 30),
    ...NUMBERS.filter((numbers) => numbers !== own && numbers !== half).map((numbers) =>
      // Where it cannot be done it takes a moment to say so.
      at('answers', first, numbers, possible.includes(numbers) ? 15 : 1),
    ),
    ...others.flatMap((device) => stepsOfAnother(device)),
  ];
}

/** Less of it: what the first device is measured for in full is known by now. */
function stepsOfAnother(device: DeviceName): PlannedStep[] {
  const { engine, kind } = partsOf(device);
  const own = ownNumbers(kind);
  // What compiles each shape takes its time before it measures anything.
  const factor = engine.automatic.includes(kind) || kind === engine.kinds[0] ? 1 : 2;
  const at = (step: StepKind, numbers: Numbers, weight: number): PlannedStep => ({
    ...{ kind: step, device, numbers, weight: factor * weight },
  });
  return [
    ...[at('answers', own, 15), at('engine', own, 30), at('server', own, 20)],
    ...(isPossible(device, 'fp16') ? [at('answers', 'fp16', 10), at('engine', 'fp16', 20)] : []),
  ];
}

function isPossible(device: DeviceName, numbers: Numbers): boolean {
  const { engine, kind } = partsOf(device);
  return 'precision' in howToCompute(engine, kind, numbers);
}

/** The part of a step's limit after which it should end by itself. */
const SOFT = 0.85;

/** What every step gets, if there is so much: processes have to start. */
const LEAST_S = 5;

/**
 * How long the first of these steps may take, in seconds, and when it should end by itself, so that all of them fit into what is
 * left.
 */
export function limitOf(
  steps: readonly PlannedStep[],
  secondsLeft: number,
): { readonly seconds: number; readonly limit: number } {
  const total = steps.reduce((sum, { weight }) => sum + weight, 0);
  const left = Math.max(0, secondsLeft);
  const least = Math.min(LEAST_S, left / 2 / steps.length);
  const limit = least + ((left - least * steps.length) * steps[0]!.weight) / total;
  return { seconds: SOFT * limit, limit };
}

export function nameOf({ kind, device, numbers }: PlannedStep): string {
  return [
    kind,
    ...(device === undefined ? [] : [`on ${device}`]),
    ...(numbers === undefined ? [] : [`in ${numbers}`]),
  ].join(' ');
}
