/**
 * AVIF: the primary item, through the boxes that say what it is made of. Its size is that of `ispe`, cut by `clap` and
 * turned by `irot`, as libheif gives it; its depth is that of its first coded image. A decode also takes the tiles of a
 * grid, the images of an overlay and the alpha planes, which may be larger than the picture: they count, each as often
 * as it is referred to. An image sequence that has a primary item too is that item, its first frame.
 *
 * Grey keeps the range of its stream through libheif, so the range is read here: from the nclx box, which goes
 * before, or from the stream itself.
 *
 * Sources: ISO/IEC 14496-12 §4.2 and §8.11 (boxes, meta), ISO/IEC 23008-12 §6 (properties, derived images), AV1-ISOBMFF
 * §2.3.3 (av1C); libheif context.cc.
 */
import { hasFullRange } from './av1-sequence.js';
import { isSequence } from './avif-brands.js';
import { BrokenHeaderError, Fields, UnsupportedImageError } from './fields.js';
import { coloursBy } from './icc.js';
import { simpleImage, type Colours, type StoredImage } from './stored-image.js';

/** Boxes in one box, and items of a file. libvips takes 256 items, libheif 100 boxes in a box. */
const MAX_BOXES = 256;
const MAX_ITEMS = 256;
/** Entries of all tables together: references, and items with their properties. */
const MAX_ENTRIES = 100_000;
/** Of an item, as many as one entry can list. Real items have some ten. */
const MAX_PROPERTIES = 255;
/** Items that are made of others. */
const DERIVED = new Set(['grid', 'iden', 'iovl', 'tmap']);

interface Box {
  readonly name: string;
  readonly body: Fields;
}

interface Item {
  readonly id: number;
  readonly type: string;
  readonly properties: Box[];
  /** Items that its decode takes, and how often each. */
  readonly parts: Map<number, number>;
  hasAlpha: boolean;
}

/** Throws BrokenHeaderError, and UnsupportedImageError where the picture is none of AV1. */
export function readAvif(bytes: Uint8Array): StoredImage {
  const meta = boxNamed(new Fields(bytes, 'big'), 0, 'meta');
  if (meta === undefined) {
    throw new UnsupportedImageError('AVIF files without a still picture, or with its header packed, are not decoded.');
  }
  const inMeta = boxesOf(meta.body, 4);
  const find = (name: string): Fields => {
    const found = inMeta.find((box) => box.name === name);
    if (found === undefined) throw new BrokenHeaderError(`has no ${name} box`);
    return found.body;
  };
  const items = readItems(find('iinf'));
  readProperties(items, boxesOf(find('iprp'), 0));
  const references = inMeta.find(({ name }) => name === 'iref');
  if (references !== undefined) readReferences(items, references.body);

  const pitm = find('pitm');
  const primary = items.get(pitm.u8(0) === 0 ? pitm.u16(4) : pitm.u32(4));
  if (primary === undefined) throw new BrokenHeaderError('has no primary item');
  const coded = firstCoded(items, primary);
  const { bits, isGrey } = codingOf(coded);
  const { tiles, samples } = workOf(items, primary);
  const colours = coloursOf(primary);
  const stream = (): Uint8Array | undefined => {
    const packed = inMeta.find(({ name }) => name === 'idat')?.body.bytes;
    return dataOf(bytes, packed, find('iloc'), coded.id);
  };
  const limitedRange = isGrey && !isFullRange([primary, coded], stream);
  if (limitedRange && (colours === 'profile' || colours === 'matrix')) {
    throw new UnsupportedImageError('AVIF files of grey in limited range with a colour profile are not decoded.');
  }
  return simpleImage({
    format: 'avif',
    stored: sizeOf(primary),
    deep: bits > 8,
    bytesPerSample: bits > 8 ? 2 : 1,
    channels: primary.hasAlpha ? 4 : 3,
    colours,
    limitedRange,
    tiles,
    frames: isSequence(bytes) ? 2 : 1,
    codedSamples: samples,
  });
}

/** The boxes of a body, from `first` on. */
function boxesOf(body: Fields, first: number): Box[] {
  const boxes: Box[] = [];
  let at = first;
  while (at < body.length && boxes.length < MAX_BOXES) {
    const box = boxAt(body, at);
    if (box.end > body.length)
      throw new BrokenHeaderError(`has a box ${box.name} that is longer than the one around it`);
    boxes.push({ name: box.name, body: body.part(box.start, box.end) });
    at = box.end;
  }
  return boxes;
}

/** The first box of this name in the file; what is in the others is not looked at. */
function boxNamed(file: Fields, first: number, name: string): Box | undefined {
  let at = first;
  for (let count = 0; at + 8 <= file.length && count < MAX_BOXES; count++) {
    const box = boxAt(file, at);
    if (box.name === name) return { name, body: file.part(box.start, box.end) };
    at = box.end;
  }
  return undefined;
}

function boxAt(fields: Fields, at: number): { readonly name: string; readonly start: number; readonly end: number } {
  const size = fields.u32(at);
  const name = fields.name(at + 4);
  const [header, length] =
    size === 1 ? [16, fields.u64(at + 8)] : size === 0 ? [8, fields.length - at] : ([8, size] as const);
  if (length < header) throw new BrokenHeaderError('has a box that is shorter than its own header');
  return { name, start: at + header, end: at + length };
}

function readItems(iinf: Fields): Map<number, Item> {
  const items = new Map<number, Item>();
  const entries = boxesOf(iinf, iinf.u8(0) === 0 ? 6 : 8);
  for (const { name, body } of entries.slice(0, MAX_ITEMS)) {
    if (name !== 'infe') continue;
    const version = body.u8(0);
    // Older versions have no type and hold no image.
    if (version < 2) continue;
    const [id, type] = version === 2 ? [body.u16(4), body.name(8)] : [body.u32(4), body.name(10)];
    items.set(id, { id, type, properties: [], parts: new Map(), hasAlpha: false });
  }
  return items;
}

/** Give each item its properties, in the order of the association. */
function readProperties(items: ReadonlyMap<number, Item>, boxes: readonly Box[]): void {
  const container = boxes.find(({ name }) => name === 'ipco');
  if (container === undefined) throw new BrokenHeaderError('has no ipco box');
  const properties = boxesOf(container.body, 0);
  let entries = 0;
  const countEntry = (): void => {
    if (++entries > MAX_ENTRIES) throw new BrokenHeaderError('has too many properties');
  };
  for (const { name, body } of boxes) {
    if (name !== 'ipma') continue;
    const [version, isWide] = [body.u8(0), (body.u8(3) & 1) === 1];
    let at = 8;
    for (let count = body.u32(4); count > 0 && at < body.length; count--) {
      countEntry();
      const id = version === 0 ? body.u16(at) : body.u32(at);
      at += version === 0 ? 2 : 4;
      const associations = body.u8(at++);
      const known = items.get(id)?.properties ?? [];
      for (let i = 0; i < associations; i++) {
        countEntry();
        const index = isWide ? body.u16(at) & 0x7fff : body.u8(at) & 0x7f;
        at += isWide ? 2 : 1;
        const property = properties[index - 1];
        if (property !== undefined) known.push(property);
      }
      if (known.length > MAX_PROPERTIES) {
        throw new BrokenHeaderError(`has an item of more than ${MAX_PROPERTIES} properties`);
      }
    }
  }
}

/** `dimg`: an item is made of others. `auxl`: an item is a plane of others. */
function readReferences(items: ReadonlyMap<number, Item>, iref: Fields): void {
  const isWide = iref.u8(0) !== 0;
  const size = isWide ? 4 : 2;
  const idAt = (body: Fields, at: number): number => (isWide ? body.u32(at) : body.u16(at));
  let entries = 0;
  for (const { name, body } of boxesOf(iref, 4)) {
    const from = idAt(body, 0);
    const count = body.u16(size);
    const item = items.get(from);
    const isPlane = name === 'auxl' && isAlpha(item);
    for (let i = 0; i < count; i++) {
      if (++entries > MAX_ENTRIES) throw new BrokenHeaderError('has too many references');
      const to = idAt(body, size + 2 + i * size);
      if (name === 'dimg') addPart(item, to);
      const opaque = isPlane ? items.get(to) : undefined;
      if (opaque !== undefined) {
        addPart(opaque, from);
        opaque.hasAlpha = true;
      }
    }
  }
}

function addPart(item: Item | undefined, id: number): void {
  item?.parts.set(id, (item.parts.get(id) ?? 0) + 1);
}

function isAlpha(item: Item | undefined): boolean {
  const type = item?.properties.find(({ name }) => name === 'auxC')?.body;
  return [
    'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha',
    'urn:mpeg:avc:2015:auxid:1',
    'urn:mpeg:hevc:2015:auxid:1',
  ].some((alpha) => type?.has(4, alpha) ?? false);
}

function coloursOf({ properties }: Item): Colours {
  const [profile, ...more] = properties.filter(
    ({ name, body }) => name === 'colr' && (body.has(0, 'prof') || body.has(0, 'rICC')),
  );
  if (profile === undefined) return 'plain';
  return more.length === 0 ? coloursBy(profile.body.bytes.subarray(4)) : 'profile';
}

/** Full where neither a box nor the stream says. */
function isFullRange(items: readonly Item[], stream: () => Uint8Array | undefined): boolean {
  for (const { properties } of items) {
    const nclx = properties.find(({ name, body }) => name === 'colr' && body.has(0, 'nclx'));
    if (nclx !== undefined) return (nclx.body.u8(10) & 0x80) !== 0;
  }
  const data = stream();
  return data === undefined || (hasFullRange(data) ?? true);
}

/**
 * The first part of an item's data, in the file or packed into its header; undefined where it has none there. ISO/IEC
 * 14496-12 §8.11.3.
 */
function dataOf(file: Uint8Array, packed: Uint8Array | undefined, iloc: Fields, id: number): Uint8Array | undefined {
  const version = iloc.u8(0);
  const [offsetBytes, lengthBytes, baseBytes] = [iloc.u8(4) >> 4, iloc.u8(4) & 15, iloc.u8(5) >> 4];
  const indexBytes = version === 0 ? 0 : iloc.u8(5) & 15;
  const numberAt = (at: number, bytes: number): number =>
    bytes === 0 ? 0 : bytes === 4 ? iloc.u32(at) : bytes === 8 ? iloc.u64(at) : NaN;
  const idBytes = version < 2 ? 2 : 4;
  const count = idBytes === 2 ? iloc.u16(6) : iloc.u32(6);
  let at = 6 + idBytes;
  for (let i = 0; i < Math.min(count, MAX_ITEMS); i++) {
    const found = idBytes === 2 ? iloc.u16(at) : iloc.u32(at);
    const method = version === 0 ? 0 : iloc.u16(at + idBytes) & 15;
    at += idBytes + (version === 0 ? 0 : 2) + 2;
    const base = numberAt(at, baseBytes);
    const extents = iloc.u16(at + baseBytes);
    at += baseBytes + 2;
    if (found === id && extents > 0) {
      const start = base + numberAt(at + indexBytes, offsetBytes);
      const length = numberAt(at + indexBytes + offsetBytes, lengthBytes);
      const data = method === 0 ? file : method === 1 ? packed : undefined;
      return start >= 0 ? data?.subarray(start, length > 0 ? start + length : data.length) : undefined;
    }
    at += extents * (indexBytes + offsetBytes + lengthBytes);
  }
  return undefined;
}

/** Upright pixels. */
function sizeOf({ properties }: Item): StoredImage['stored'] {
  let [width, height] = [0, 0];
  for (const { name, body } of properties) if (name === 'ispe') [width, height] = [body.u32(4), body.u32(8)];
  for (const { name, body } of properties) {
    if (name === 'clap') [width, height] = [rounded(body.u32(0), body.u32(4)), rounded(body.u32(8), body.u32(12))];
    if (name === 'irot' && (body.u8(0) & 1) === 1) [width, height] = [height, width];
  }
  if (!(width > 0 && height > 0)) throw new BrokenHeaderError('does not say how large its picture is');
  return { width, height };
}

function rounded(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : Math.floor((numerator + Math.floor(denominator / 2)) / denominator);
}

/** The coded image that an item begins with, however it is derived. */
function firstCoded(items: ReadonlyMap<number, Item>, primary: Item): Item {
  let item: Item | undefined = primary;
  for (let depth = 0; item !== undefined && DERIVED.has(item.type) && depth <= items.size; depth++) {
    const [id] = item.parts.keys();
    item = id === undefined ? undefined : items.get(id);
  }
  if (item === undefined) throw new BrokenHeaderError('is made of an image that it does not have');
  if (item.type !== 'av01') {
    throw new UnsupportedImageError(
      `The picture of the AVIF file is not coded as AV1, but as ${printable(item.type)}.`,
    );
  }
  return item;
}

function printable(name: string): string {
  return JSON.stringify(name.replace(/[^\x20-\x7e]/g, '?'));
}

interface Coding {
  readonly bits: number;
  readonly isGrey: boolean;
  /** For each pixel, chroma included. */
  readonly samples: number;
}

/** Of an item of type av01. */
function codingOf({ properties }: Item): Coding {
  const config = properties.find(({ name }) => name === 'av1C')?.body;
  if (config === undefined) throw new BrokenHeaderError('does not say how its picture is coded (av1C)');
  const flags = config.u8(2);
  const [isHigh, isTwelve, isGrey, across, down] = [0x40, 0x20, 0x10, 0x08, 0x04].map((bit) => (flags & bit) !== 0);
  return {
    bits: !isHigh ? 8 : isTwelve ? 12 : 10,
    isGrey: isGrey!,
    samples: isGrey ? 1 : 1 + 2 / ((across ? 2 : 1) * (down ? 2 : 1)),
  };
}

interface Work {
  readonly tiles: number;
  readonly samples: number;
  /** Of items that it is made of. */
  readonly levels: number;
}

/** Two are usual: a grid, and an alpha plane beside it. */
const MAX_LEVELS = 32;

/**
 * What decoding an item takes, with all that it refers to, as often as it does. Items may refer to each other in any
 * way, so each is summed up once, when the first asks. Throws for a ring, whose sums have no end.
 */
function workOf(items: ReadonlyMap<number, Item>, primary: Item): Work {
  /** Undefined while an item is summed up. */
  const known = new Map<Item, Work | undefined>();
  const sumUp = (item: Item): Work => {
    known.set(item, undefined);
    let { tiles, samples } = ownWork(item);
    let levels = 0;
    for (const [id, times] of item.parts) {
      const part = items.get(id);
      if (part === undefined) continue;
      const work = known.has(part) ? known.get(part) : sumUp(part);
      if (work === undefined) throw new BrokenHeaderError('has images that are made of themselves');
      tiles += times * work.tiles;
      samples += times * work.samples;
      levels = Math.max(levels, 1 + work.levels);
    }
    if (levels > MAX_LEVELS) throw new BrokenHeaderError(`has images on more than ${MAX_LEVELS} levels`);
    const work = { tiles, samples, levels };
    known.set(item, work);
    return work;
  };
  for (const item of items.values()) if (!known.has(item)) sumUp(item);
  return known.get(primary)!;
}

function ownWork(item: Item): Pick<Work, 'tiles' | 'samples'> {
  if (item.type !== 'av01') return { tiles: 0, samples: 0 };
  const ispe = item.properties.findLast(({ name }) => name === 'ispe')?.body;
  if (ispe === undefined) return { tiles: 1, samples: 0 };
  const isCoded = item.properties.some(({ name }) => name === 'av1C');
  const { samples } = isCoded ? codingOf(item) : { samples: 3 };
  return { tiles: 1, samples: ispe.u32(4) * ispe.u32(8) * samples };
}
