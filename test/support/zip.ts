/** Zip archives as bytes, with what a test wants to be wrong in them. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipMember {
  readonly name: string;
  readonly data: Buffer;
  readonly deflated?: boolean;
  /** Values that stand in the list instead of the right ones. */
  readonly size?: number;
  readonly packedSize?: number;
  readonly offset?: number;
  readonly flags?: number;
  readonly method?: number;
}

/** An archive; with `large`, sizes and offsets stand in fields of 64 bits. */
export function zip(members: readonly ZipMember[], { large = false, comment = '' } = {}): Buffer {
  const locals: Buffer[] = [];
  const list: Buffer[] = [];
  let at = 0;
  for (const { name, data, deflated = false, flags = 0, ...given } of members) {
    const packed = deflated ? deflateRawSync(data) : data;
    const { size = data.length, packedSize = packed.length, offset = at, method = deflated ? 8 : 0 } = given;
    const path = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(crc32(data), 14);
    local.writeUInt32LE(packed.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(path.length, 26);
    const extra = Buffer.alloc(large ? 28 : 0);
    if (large) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      for (const [index, value] of [size, packedSize, offset].entries())
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
    }
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(crc32(data), 16);
    for (const [field, value] of [
      [20, packedSize],
      [24, size],
      [42, offset],
    ] as const) {
      entry.writeUInt32LE(large ? 0xffffffff : value, field);
    }
    entry.writeUInt16LE(path.length, 28);
    entry.writeUInt16LE(extra.length, 30);
    locals.push(local, path, packed);
    list.push(entry, path, extra);
    at += local.length + path.length + packed.length;
  }
  const bytes = Buffer.concat(list);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(large ? 0xffff : members.length, 8);
  end.writeUInt16LE(large ? 0xffff : members.length, 10);
  end.writeUInt32LE(large ? 0xffffffff : bytes.length, 12);
  end.writeUInt32LE(large ? 0xffffffff : at, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([
    ...locals,
    bytes,
    ...(large ? end64(members.length, bytes.length, at) : []),
    end,
    Buffer.from(comment),
  ]);
}

function end64(count: number, bytes: number, begin: number): Buffer[] {
  const end = Buffer.alloc(56);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(bytes), 40);
  end.writeBigUInt64LE(BigInt(begin), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(begin + bytes), 8);
  locator.writeUInt32LE(1, 16);
  return [end, locator];
}
