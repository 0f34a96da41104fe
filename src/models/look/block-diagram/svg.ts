/**
 * A page of boxes as SVG: text is text, colours follow the reader's light or dark scheme, nothing is loaded. Strangers' names
 * are escaped, without control characters, and cut where they are long.
 */
import {
  arrange,
  footOf,
  type Extent,
  type Frame,
  type Line,
  type Page,
  type PlacedBox,
  type Turn,
} from './arrange.js';
import type { Box } from './boxes.js';
import type { FoldedNet } from './fold.js';

const FONT_SIZE = 13;
/** Of a character, to the font's size: a wide guess, because the reader's font is not known. */
const CHARACTER = 0.56;
const BOX_HEIGHT = 28;
const BOX_PADDING = 12;
const JOIN_SIDE = 26;
const MAX_TEXT = 72;
const MARGIN = 28;
const TITLE_HEIGHT = 34;
/** Right of the last column, for the number of a fold. */
const SIDE = 48;

const STYLE = `
text { font: ${FONT_SIZE}px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1b2330; text-anchor: middle; }
.title { font-size: 16px; font-weight: 600; text-anchor: start; }
.page { fill: #ffffff; }
.wire { fill: none; stroke: #6b7688; stroke-width: 1.4; }
.head { fill: #6b7688; }
.shape { font-size: 11px; fill: #5a6577; text-anchor: start; stroke: #ffffff; stroke-width: 5; stroke-linejoin: round; paint-order: stroke; }
.frame { fill: #f4f6f9; stroke: #8a94a5; stroke-dasharray: 5 4; }
.times { font-size: 16px; font-weight: 600; text-anchor: start; }
.box { stroke-width: 1.2; }
.convolution { fill: #dbe9fb; stroke: #4f83c4; }
.pooling { fill: #dcf1e0; stroke: #4f9a62; }
.connected { fill: #eadff7; stroke: #8a63bf; }
.activation, .normalization { fill: #fcecd2; stroke: #c38a35; }
.join { fill: #ffffff; stroke: #3c4656; }
.input, .other { fill: #eceff3; stroke: #8a94a5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6eaf1; }
  .page { fill: #14181f; }
  .wire { stroke: #97a2b5; }
  .head { fill: #97a2b5; }
  .shape { fill: #a9b3c3; stroke: #14181f; }
  .frame { fill: #1b212b; stroke: #6d788a; }
  .convolution { fill: #1d3a5f; stroke: #6ea3e3; }
  .pooling { fill: #1e4429; stroke: #6dbb81; }
  .connected { fill: #3d2960; stroke: #a985dd; }
  .activation, .normalization { fill: #51391a; stroke: #d9a45a; }
  .join { fill: #14181f; stroke: #c3cbd8; }
  .input, .other { fill: #2a313d; stroke: #7d889a; }
}
`;

/** The SVG document. Throws UsageError if there is more than a picture can show. */
export function svgOf(net: FoldedNet, title: string): string {
  const page = arrange(net, sizeOf);
  const titleText = cleaned(title);
  const width = Math.ceil(Math.max(page.width + SIDE, textWidth(titleText) * 1.3) + 2 * MARGIN);
  const height = Math.ceil(page.height + TITLE_HEIGHT + 2 * MARGIN + FONT_SIZE);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(titleText)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    `<text class="title" x="${MARGIN}" y="${MARGIN + 8}">${escape(titleText)}</text>`,
    `<g transform="translate(${MARGIN} ${MARGIN + TITLE_HEIGHT})">`,
    ...page.frames.map(frameSvg),
    ...page.lines.map(lineSvg),
    ...page.turns.map(turnSvg),
    ...page.boxes.map(boxSvg),
    ...shapeLabels(page),
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function sizeOf({ kind, words }: Box): Extent {
  const width = textWidth(textOf(words));
  if (kind === 'join') return { width: Math.max(JOIN_SIDE, width + 14), height: JOIN_SIDE };
  return { width: width + 2 * BOX_PADDING, height: BOX_HEIGHT };
}

const textOf = (words: readonly string[]): string => cleaned(words.join(' · '));

/** Characters from China, Japan and Korea, and pictures, are as wide as two others. */
const WIDE = /[\u2E80-\uFFFC\u{10000}-\u{10FFFF}]/gu;

function textWidth(text: string): number {
  const characters = Array.from(text).length + (text.match(WIDE)?.length ?? 0);
  return Math.round(characters * FONT_SIZE * CHARACTER);
}

function boxSvg({ box, x, y, width, height }: PlacedBox): string {
  const corner = box.kind === 'join' ? height / 2 : 5;
  const rect = `<rect class="box ${box.kind}" x="${at(x - width / 2)}" y="${at(y)}" width="${width}" height="${height}" rx="${corner}"/>`;
  const label = `<text x="${at(x)}" y="${at(y + height / 2 + FONT_SIZE * 0.35)}">${escape(textOf(box.words))}</text>`;
  return `<g><title>${escape(cleaned(box.names.join(', ')))}</title>${rect}${label}</g>`;
}

function frameSvg({ x, y, width, height, times }: Frame): string {
  const rect = `<rect class="frame" x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(height)}" rx="8"/>`;
  return `${rect}<text class="times" x="${at(x + width + 7)}" y="${at(y + height / 2 + 5)}">× ${times}</text>`;
}

/** Below a box, a line is straight until it is past the shape. */
const STRAIGHT = 15;

/** Straight through the rows, in curves between them. */
function lineSvg({ start, via, end }: Line): string {
  let path = `M${at(start.x)} ${at(start.y)}`;
  let last = start;
  const straightTo = (y: number): void => {
    path += `V${at(y)}`;
    last = { x: last.x, y };
  };
  const curveTo = (x: number, y: number): void => {
    if (x === last.x) {
      straightTo(y);
      return;
    }
    straightTo(last.y + STRAIGHT);
    const middle = at((last.y + y) / 2);
    path += `C${at(last.x)} ${middle} ${at(x)} ${middle} ${at(x)} ${at(y)}`;
    last = { x, y };
  };
  for (const { x, top, bottom } of via) {
    curveTo(x, top);
    straightTo(bottom);
  }
  curveTo(end.x, end.y - 6);
  return `<path class="wire" d="${path}"/>${arrowHead(end.x, end.y)}`;
}

const arrowHead = (x: number, y: number): string => `<path class="head" d="M${at(x)} ${at(y)}l-4 -8h8z"/>`;

function turnSvg({ start, gutter, end }: Turn): string {
  const [below, above] = [start.y + 24, end.y - 10];
  const path =
    `M${at(start.x)} ${at(start.y)}V${at(below - 8)}q0 8 8 8H${at(gutter - 8)}q8 0 8 -8V${at(above + 8)}` +
    `q0 -8 8 -8H${at(end.x - 8)}q8 0 8 8V${at(end.y)}`;
  return `<path class="wire" d="${path}"/>`;
}

/** The shapes of values, below their boxes, where they differ from what the box reads. */
function shapeLabels({ boxes }: Page): string[] {
  return boxes.flatMap((placed) => {
    const { box } = placed;
    const text = shapeText(box.shape);
    const isSame = box.from.length > 0 && box.from.every((source) => shapeText(boxes[source]?.box.shape) === text);
    if (text === '' || isSame) return [];
    const { x, y } = footOf(placed);
    return [`<text class="shape" x="${at(x + 7)}" y="${at(y + 13)}">${escape(text)}</text>`];
  });
}

const shapeText = (shape: Box['shape']): string => shape?.join(' × ') ?? '';

/** Pixels to a tenth. */
const at = (pixels: number): number => Math.round(pixels * 10) / 10;

function cleaned(text: string): string {
  const visible = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu, '\u{FFFD}');
  const characters = Array.from(visible);
  return characters.length > MAX_TEXT ? `${characters.slice(0, MAX_TEXT - 1).join('')}…` : visible;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character]!);
