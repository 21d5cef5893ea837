import { assert } from "../../shared/assert.js";
import type { ByteBuffer } from "./byte-buffer.js";
import { isItems, type ThriftItems, type ThriftNode, type ThriftTree } from "./thrift-compact.js";
import { thriftTypes } from "./thrift-writer.js";

/** Writes the tree of decodeThriftTree in the same protocol; fields in the order of their numbers. */
export function encodeThriftTree(out: ByteBuffer, tree: ThriftTree): void {
  let last = 0;
  for (const [field, node] of tree) {
    const type = node.type === thriftTypes.true && node.value === false ? thriftTypes.false : node.type;
    const delta = field - last;
    assert(delta > 0, "fields come in the order of their numbers");
    if (delta <= 15) out.byte((delta << 4) | type);
    else {
      out.byte(type);
      out.zigzag(field);
    }
    last = field;
    // A boolean field's type is its value.
    if (typeof node.value !== "boolean") encodeValue(out, type, node.value);
  }
  out.byte(0);
}

function encodeValue(out: ByteBuffer, type: number, value: ThriftNode["value"]): void {
  if (typeof value === "boolean") out.byte(value ? 1 : 2);
  else if (typeof value === "number") {
    if (type === byteType) out.byte(value);
    else out.zigzag(value);
  } else if (Buffer.isBuffer(value)) {
    if (type === thriftTypes.binary) out.varint(value.length);
    out.append(value);
  } else if (isItems(value)) encodeItems(out, value);
  else encodeThriftTree(out, value);
}

const byteType = 3;

function encodeItems(out: ByteBuffer, { itemType, items }: ThriftItems): void {
  if (items.length < 15) out.byte((items.length << 4) | itemType);
  else {
    out.byte(0xf0 | itemType);
    out.varint(items.length);
  }
  for (const item of items) encodeValue(out, itemType, item);
}
