/**
 * How the probabilities drift with the scale: a line for each class, over the scales that were asked for. The slider's
 * stops lie evenly below the chart, so a scale's place is its position among the stops.
 */
import type { Prediction } from './answers.js';
import { element } from './elements.js';
import { percent } from './percent.js';
import { SCALES } from './question.js';

export interface ScaleChart {
  /** `answers` has one entry for each of SCALES, undefined where nothing is known. */
  show(answers: readonly (readonly Prediction[] | undefined)[], current: number, lit: number | undefined): void;
}

const HEIGHT = 190;
const MARGIN = { top: 10, bottom: 24, left: 44 };
const MAX_LINES = 4;
const LINE_HEIGHT = 15;
/**
 * Scales that are named below the chart, the most important first. A narrow chart leaves out those that would overlap.
 */
const TICKS = [1, 10, 0.5, 2, 5, 3, 1.5, 0.75, 7, 4];
const TICK_WIDTH = 38;
/** Shown while only one scale is known. */
const HINT = ['Drag the handle below,', 'or try every scale.'];

export function createScaleChart(): ScaleChart {
  const frame = element('chart', HTMLDivElement);
  let redraw = (): void => undefined;
  new ResizeObserver(() => redraw()).observe(frame);
  return {
    show(answers, current, lit) {
      redraw = () => frame.replaceChildren(draw(frame, answers, current, lit));
      redraw();
    },
  };
}

interface Line {
  readonly index: number;
  readonly label: string;
  readonly points: readonly (readonly [position: number, probability: number])[];
}

function draw(
  frame: HTMLDivElement,
  answers: readonly (readonly Prediction[] | undefined)[],
  current: number,
  lit: number | undefined,
): SVGSVGElement {
  const width = Math.max(frame.clientWidth, 240);
  const right = parseFloat(getComputedStyle(frame).getPropertyValue('--chart-right'));
  const x = (position: number): number =>
    MARGIN.left + (position / (SCALES.length - 1)) * (width - MARGIN.left - right);
  const y = (share: number): number => MARGIN.top + (1 - share) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const lines = linesOf(answers, lit);

  const svg = draft('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: 'img' });
  svg.setAttribute('aria-label', describe(lines));
  for (const share of [0, 0.5, 1]) {
    svg.append(
      draft('line', { class: 'grid', x1: MARGIN.left, x2: width - right, y1: y(share), y2: y(share) }),
      draft('text', { class: 'tick end', x: MARGIN.left - 8, y: y(share) + 4 }, `${share * 100} %`),
    );
  }
  const named: number[] = [];
  for (const scale of TICKS) {
    const place = x((SCALES as readonly number[]).indexOf(scale));
    if (named.some((other) => Math.abs(other - place) < TICK_WIDTH)) continue;
    named.push(place);
    svg.append(draft('text', { class: 'tick middle', x: place, y: HEIGHT - 5 }, `${scale}×`));
  }
  const at = (SCALES as readonly number[]).indexOf(current);
  // The hint goes to the right of the only point, if there is room.
  if (
    answers[at] !== undefined &&
    answers.filter((known) => known !== undefined).length === 1 &&
    at < SCALES.length / 2
  ) {
    for (const [row, text] of HINT.entries()) {
      svg.append(draft('text', { class: 'hint', x: x(at) + 12, y: y(0.8) + row * 18 }, text));
    }
  }
  svg.append(draft('line', { class: 'now', x1: x(at), x2: x(at), y1: y(1), y2: y(0) }));
  for (const line of lines) {
    const kind = line.index === lit ? 'line lit' : 'line';
    const d = line.points.map(([position, share], i) => `${i === 0 ? 'M' : 'L'}${x(position)} ${y(share)}`).join('');
    svg.append(draft('path', { class: kind, d }));
    for (const [position, share] of line.points) {
      svg.append(draft('circle', { class: kind, cx: x(position), cy: y(share), r: position === at ? 4.5 : 2.5 }));
    }
  }
  for (const { line, at: place } of labelPlaces(lines, y)) {
    const label = draft('text', {
      class: line.index === lit ? 'name lit' : 'name',
      x: width - right + 10,
      y: place + 4,
    });
    label.textContent = shorten(line.label, (right - 12) / (line.index === lit ? 7.3 : 6.6));
    svg.append(label);
  }
  return svg;
}

/** The classes that were most probable at any scale, then the lit one, so that it is drawn on top. */
function linesOf(answers: readonly (readonly Prediction[] | undefined)[], lit: number | undefined): Line[] {
  const lines = new Map<number, { index: number; label: string; best: number; points: [number, number][] }>();
  answers.forEach((predictions, position) => {
    for (const { index, label, probability = 0 } of predictions ?? []) {
      const line = lines.get(index) ?? { index, label, best: 0, points: [] };
      line.points.push([position, probability]);
      line.best = Math.max(line.best, probability);
      lines.set(index, line);
    }
  });
  const ranked = [...lines.values()].sort((a, b) => b.best - a.best);
  const others = ranked.filter(({ index }) => index !== lit).slice(0, MAX_LINES);
  return [...others, ...ranked.filter(({ index }) => index === lit)];
}

/** Heights of the names beside the last points, moved apart so that none covers another. */
function labelPlaces(lines: readonly Line[], y: (share: number) => number): { line: Line; at: number }[] {
  const places = lines.map((line) => ({ line, at: y(line.points.at(-1)?.[1] ?? 0) })).sort((a, b) => a.at - b.at);
  places.forEach((place, i) => (place.at = Math.max(place.at, (places[i - 1]?.at ?? -Infinity) + LINE_HEIGHT)));
  let limit = HEIGHT - MARGIN.bottom;
  for (const place of places.reverse()) {
    place.at = Math.min(place.at, limit);
    limit = place.at - LINE_HEIGHT;
  }
  return places;
}

function describe(lines: readonly Line[]): string {
  const texts = lines.map(
    ({ label, points }) =>
      `${label}: ${points.map(([at, share]) => `${percent(share)} at ${SCALES[at]!}×`).join(', ')}`,
  );
  return `Probability by scale. ${texts.join('. ')}`;
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(1, length - 1)).trimEnd()}…`;
}

function draft<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | number>>,
  text = '',
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  if (text !== '') made.textContent = text;
  return made;
}
