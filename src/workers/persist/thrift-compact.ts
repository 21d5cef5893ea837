import { assert } from "../../shared/assert.js";

/** A struct as its fields by number. Integers beyond 2^53 lose their last bits: the fields read here have none. */
export type ThriftStruct = ReadonlyMap<number, ThriftValue>;
export type ThriftValue = number | boolean | Buffer | readonly ThriftValue[] | ThriftStruct;

/** The same with the types of all values, so that it can be written again (thrift-tree.ts). */
export type ThriftTree = ReadonlyMap<number, ThriftNode>;
export interface ThriftNode {
  /** 1 for a boolean, true or false. */
  readonly type: number;
  readonly value: ThriftLeaf | ThriftItems | ThriftTree;
}
export type ThriftLeaf = number | boolean | Buffer;
export interface ThriftItems {
  readonly itemType: number;
  readonly items: readonly ThriftNode["value"][];
}

/**
 * Decodes one struct of Thrift's compact protocol, as Parquet footers are written in. Maps do not occur there.
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 *
 * ```
 * field     (delta << 4 | type), or (0 << 4 | type) zigzag field number; then the value. Type 0 ends the struct
 * 1, 2      true, false: in a struct the type is the value, in a list a byte is
 * 3         one byte          4, 5, 6   zigzag varint       7         8 bytes, little-endian
 * 8         varint length, bytes
 * 9, 10     (size << 4 | type), or (15 << 4 | type) varint size; then the items
 * 12        struct
 * ```
 */
export function decodeThriftStruct(bytes: Buffer): ThriftStruct {
  return plainStruct(decodeThriftTree(bytes));
}

/** As decodeThriftStruct. */
export function decodeThriftTree(bytes: Buffer): ThriftTree {
  return new CompactReader(bytes).struct();
}

function plainStruct(tree: ThriftTree): ThriftStruct {
  return new Map([...tree].map(([field, { value }]) => [field, plainValue(value)]));
}

function plainValue(value: ThriftNode["value"]): ThriftValue {
  if (value instanceof Map) return plainStruct(value);
  return isItems(value) ? value.items.map(plainValue) : (value as ThriftLeaf);
}

export function isItems(value: ThriftNode["value"]): value is ThriftItems {
  return typeof value === "object" && "itemType" in value;
}

class CompactReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  struct(): ThriftTree {
    const fields = new Map<number, ThriftNode>();
    let field = 0;
    for (;;) {
      const header = this.#byte();
      const type = header & 0x0f;
      if (type === 0) return fields;
      const delta = header >> 4;
      field = delta === 0 ? this.#zigzag() : field + delta;
      fields.set(field, type <= 2 ? { type: 1, value: type === 1 } : { type, value: this.#value(type) });
    }
  }

  #value(type: number): ThriftNode["value"] {
    switch (type) {
      case 1:
      case 2:
        return this.#byte() === 1;
      case 3:
        return this.#byte();
      case 4:
      case 5:
      case 6:
        return this.#zigzag();
      case 7:
        return this.#take(8);
      case 8:
        return this.#take(this.#varint());
      case 9:
      case 10:
        return this.#list();
      default:
        assert(type === 12, `Thrift type ${type} does not occur in a footer`);
        return this.struct();
    }
  }

  #list(): ThriftItems {
    const header = this.#byte();
    const size = header >> 4 === 15 ? this.#varint() : header >> 4;
    const itemType = header & 0x0f;
    const items: ThriftNode["value"][] = [];
    for (let item = 0; item < size; item++) items.push(this.#value(itemType));
    return { itemType, items };
  }

  #take(bytes: number): Buffer {
    const start = this.#at;
    assert(start + bytes <= this.#bytes.length, "a value lies within its footer");
    this.#at = start + bytes;
    return this.#bytes.subarray(start, this.#at);
  }

  #byte(): number {
    assert(this.#at < this.#bytes.length, "a footer ends after its last field");
    return this.#bytes[this.#at++] as number;
  }

  #varint(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
