/** Image files put together byte by byte: what encoders at hand do not write. Sources: as of the parsers in src/images/headers. */
import { crc32 } from 'node:zlib';

/** A number in so many bytes. */
export function number(value: number, bytes: 1 | 2 | 4, order: 'big' | 'little' = 'big'): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (order === 'big') buffer.writeUIntBE(value, 0, bytes);
  else buffer.writeUIntLE(value, 0, bytes);
  return buffer;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A TIFF entry: tag, the bytes of each value (BYTE, SHORT, LONG), values. */
export type TiffEntry = readonly [tag: number, bytes: 1 | 2 | 4, values: readonly number[]];

/** A TIFF of one directory behind `data`, which begins at byte 8, or 16 in a BigTIFF. */
export function tiff(
  entries: readonly TiffEntry[],
  {
    order = 'little',
    isBig = false,
    data = Buffer.alloc(0),
  }: { readonly order?: 'big' | 'little'; readonly isBig?: boolean; readonly data?: Buffer } = {},
): Buffer {
  const long = (value: number): Buffer => {
    const [high, low] = [Buffer.alloc(4), number(value, 4, order)];
    return !isBig ? low : Buffer.concat(order === 'big' ? [high, low] : [low, high]);
  };
  const short = (value: number): Buffer => number(value, 2, order);
  const size = isBig ? 8 : 4;
  const start = isBig ? 16 : 8;
  const extraAt = start + data.length + (isBig ? 8 : 2) + entries.length * (isBig ? 20 : 12) + size;
  let extra = Buffer.alloc(0);
  const directory = entries.map(([tag, bytes, values]) => {
    const packed = Buffer.concat(values.map((value) => number(value, bytes, order)));
    const head = [short(tag), short({ 1: 1, 2: 3, 4: 4 }[bytes]), long(values.length)];
    if (packed.length <= size) return Buffer.concat([...head, packed, Buffer.alloc(size - packed.length)]);
    const entry = Buffer.concat([...head, long(extraAt + extra.length)]);
    extra = Buffer.concat([extra, packed]);
    return entry;
  });
  return Buffer.concat([
    latin1(order === 'big' ? 'MM' : 'II'),
    ...(isBig ? [short(43), short(8), short(0)] : [short(42)]),
    long(start + data.length),
    data,
    isBig ? long(entries.length) : short(entries.length),
    ...directory,
    long(0),
    extra,
  ]);
}

/** A frame of a GIF that holds one colour. */
export interface GifFrame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A GIF of black frames on a screen. */
export function gif(screen: readonly [width: number, height: number], frames: readonly GifFrame[]): Buffer {
  const short = (value: number): Buffer => number(value, 2, 'little');
  const comment = Buffer.concat([Buffer.from([0x21, 0xfe, 5]), latin1('hello'), Buffer.from([0])]);
  return Buffer.concat([
    latin1('GIF89a'),
    ...screen.map(short),
    Buffer.from([0x80, 0, 0, 0, 0, 0, 255, 255, 255]),
    comment,
    ...frames.flatMap(({ left, top, width, height }) => [
      Buffer.from([0x21, 0xf9, 4, 0, 0, 0, 0, 0, 0x2c]),
      ...[left, top, width, height].map(short),
      Buffer.from([0, 2]),
      ...gifBlocks(lzwOfZeros(width * height)),
    ]),
    latin1(';'),
  ]);
}

/** Codes of 3 bits: clear (4) before every second zero, so that they never grow, and the end (5). */
function lzwOfZeros(count: number): Buffer {
  const codes = [...Array.from({ length: count }, (_, i) => (i % 2 === 0 ? [4, 0] : [0])).flat(), 5];
  const bytes = Buffer.alloc(Math.ceil((codes.length * 3) / 8) + 1);
  codes.forEach((code, i) => {
    const [at, shift] = [Math.floor((i * 3) / 8), (i * 3) % 8];
    bytes[at]! |= (code << shift) & 255;
    bytes[at + 1]! |= (code << shift) >> 8;
  });
  return bytes;
}

function gifBlocks(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const block = bytes.subarray(at, at + 255);
    blocks.push(Buffer.from([block.length]), block);
  }
  return [...blocks, Buffer.from([0])];
}

/** An EXIF block with entries of tag 274, each with its type and value field. */
export function exif(
  order: 'big' | 'little',
  entries: readonly { readonly type: number; readonly count: number; readonly value: Buffer }[],
): Buffer {
  const [short, long] = [(value: number) => number(value, 2, order), (value: number) => number(value, 4, order)];
  return Buffer.concat([
    latin1(order === 'big' ? 'Exif\0\0MM' : 'Exif\0\0II'),
    short(42),
    long(8),
    short(entries.length),
    ...entries.flatMap(({ type, count, value }) => [
      short(274),
      short(type),
      long(count),
      value,
      Buffer.alloc(4 - value.length),
    ]),
    long(0),
  ]);
}

/** A JPEG segment. */
export function segment(marker: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xff, marker]), number(body.length + 2, 2), body]);
}

/**
 * A grey progressive JPEG of 8×8 blocks without detail: one scan of the mean, and others that say that there is nothing
 * more.
 */
export function jpegOfScans(width: number, height: number, scans: number): Buffer {
  const blocks = Math.ceil(width / 8) * Math.ceil(height / 8);
  const bits = (text: string): Buffer => {
    const padded = text + '1'.repeat((8 - (text.length % 8)) % 8);
    return Buffer.from(padded.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  };
  const oneCode = (id: number, symbol: number): Buffer =>
    segment(0xc4, Buffer.concat([Buffer.from([id, 1]), Buffer.alloc(15), Buffer.from([symbol])]));
  const nothing = Buffer.concat([
    segment(0xda, Buffer.from([1, 1, 0, 1, 63, 0])),
    // End of band for 32,767 blocks at once.
    bits(('0' + '1'.repeat(14)).repeat(Math.ceil(blocks / 32767))),
  ]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, Buffer.concat([Buffer.from([0]), Buffer.alloc(64, 1)])),
    segment(0xc2, Buffer.concat([number(8, 1), number(height, 2), number(width, 2), Buffer.from([1, 1, 0x11, 0])])),
    oneCode(0x00, 0),
    oneCode(0x10, 0xe0),
    segment(0xda, Buffer.from([1, 1, 0, 0, 0, 0])),
    bits('0'.repeat(blocks)),
    ...Array.from({ length: scans - 1 }, () => nothing),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** A PNG chunk. */
export function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([latin1(name), body]);
  return Buffer.concat([number(body.length, 4), named, number(crc32(named), 4)]);
}

export interface AvifItem {
  /** `av01`, `grid`, … */
  readonly type: string;
  readonly data: Buffer;
  readonly properties: readonly Buffer[];
  /** Positions of other items, counted from 0. */
  readonly references?: readonly { readonly type: string; readonly to: readonly number[] }[];
}

/** An AVIF of items. `more`: entries behind those of the items in the table of their properties. */
export function avif(items: readonly AvifItem[], primary = 0, more: readonly Buffer[] = []): Buffer {
  const properties = items.flatMap((item) => item.properties);
  let index = 0;
  const associations = items.map((item, i) =>
    Buffer.concat([
      number(i + 1, 2),
      number(item.properties.length, 1),
      ...item.properties.map(() => number(++index, 1)),
    ]),
  );
  const references = items.flatMap((item, i) =>
    (item.references ?? []).map(({ type, to }) =>
      box(type, number(i + 1, 2), number(to.length, 2), ...to.map((position) => number(position + 1, 2))),
    ),
  );
  const metaAt = (dataAt: number): Buffer => {
    let at = dataAt;
    const locations = items.map(({ data }, i) => {
      const location = [number(i + 1, 2), number(0, 2), number(1, 2), number(at, 4), number(data.length, 4)];
      at += data.length;
      return Buffer.concat(location);
    });
    const entries = items.map(({ type }, i) =>
      box('infe', number(0x02000000, 4), number(i + 1, 2), number(0, 2), latin1(`${type}\0`)),
    );
    return box(
      'meta',
      number(0, 4),
      box('hdlr', number(0, 4), number(0, 4), latin1('pict'), Buffer.alloc(13)),
      box('pitm', number(0, 4), number(primary + 1, 2)),
      box('iloc', number(0, 4), Buffer.from([0x44, 0]), number(items.length, 2), ...locations),
      box('iinf', number(0, 4), number(items.length, 2), ...entries),
      ...(references.length > 0 ? [box('iref', number(0, 4), ...references)] : []),
      box(
        'iprp',
        box('ipco', ...properties),
        box('ipma', number(0, 4), number(items.length + more.length, 4), ...associations, ...more),
      ),
    );
  };
  const ftyp = box('ftyp', latin1('avif'), number(0, 4), latin1('avifmif1'));
  const dataAt = ftyp.length + metaAt(0).length + 8;
  return Buffer.concat([ftyp, metaAt(dataAt), box('mdat', ...items.map(({ data }) => data))]);
}

/** An ISO base media box. */
export function box(name: string, ...body: readonly Buffer[]): Buffer {
  const content = Buffer.concat(body);
  return Buffer.concat([number(content.length + 8, 4), latin1(name), content]);
}

/** The property that says an item's pixels. */
export function ispe(width: number, height: number): Buffer {
  return box('ispe', number(0, 4), number(width, 4), number(height, 4));
}

/** How an AVIF of one item, as encoders write it, is coded, and its data. */
export function codedImage(bytes: Buffer): { readonly av1C: Buffer; readonly data: Buffer } {
  const boxAt = (name: string): Buffer => {
    const at = bytes.indexOf(name) - 4;
    return bytes.subarray(at, at + bytes.readUInt32BE(at));
  };
  return { av1C: boxAt('av1C'), data: boxAt('mdat').subarray(8) };
}
