import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Int64, Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { bodyContentTypes, formatOfContentType } from "../../../src/shared/formats/body-format.js";
import { frameFormats } from "../../../src/shared/ring/frame.js";
import type { Decode } from "../../../src/workers/decode/decoder.js";
import { openDecode } from "../../../src/workers/decode/formats.js";
import { decodeAll, newTarget, refusal, valuesOf } from "./bulk-harness.js";
import { columnsBody, hexText, packr } from "./msgpack-bodies.js";

function decoderOf(format: number, originalShape = false): Decode {
  return (body, target) => openDecode(format, originalShape, body, target);
}

function decodedValues(format: number, body: Uint8Array, originalShape = false): unknown[] {
  const target = newTarget();
  decodeAll(decoderOf(format, originalShape), body, target);
  return valuesOf(target);
}

const bodies: Readonly<Record<keyof typeof frameFormats, Uint8Array>> = {
  json: Buffer.from('[{"x":1},{"x":2}]'),
  ndjson: Buffer.from('{"x":1}\n{"x":2}\n'),
  csv: Buffer.from("x\n1\n2\n"),
  messagePack: packr.pack([{ x: 1 }, { x: 2 }]),
  messagePackColumns: columnsBody({ x: [1, 2] }),
  arrowStream: tableToIPC(new Table({ x: vectorFromArray([1n, 2n], new Int64()) }), "stream"),
};

describe("every format", () => {
  for (const [name, format] of Object.entries(frameFormats)) {
    test(`${name} has its decoder`, () => {
      assert.deepEqual(decodedValues(format, bodies[name as keyof typeof frameFormats]), [1n, 2n]);
    });
  }

  test("every content type leads to one", () => {
    for (const contentType of bodyContentTypes) {
      const format = formatOfContentType(contentType) as number;
      const [name] = Object.entries(frameFormats).find(([, code]) => code === format) ?? assert.fail(contentType);
      assert.deepEqual(decodedValues(format, bodies[name as keyof typeof frameFormats]), [1n, 2n]);
    }
  });

  test("any other number is refused", () => {
    assert.equal(refusal(decoderOf(0), bodies.json).code, "UNSUPPORTED_MEDIA_TYPE");
    assert.equal(refusal(decoderOf(99), bodies.json).code, "UNSUPPORTED_MEDIA_TYPE");
  });
});

test("JSON: one object is one row; the original shape has its own decoder, and no other format", () => {
  assert.deepEqual(decodedValues(frameFormats.json, Buffer.from(' {"x":1}')), [1n]);
  const original = Buffer.from('{"table":"t","id":"a","payload":{"x":1}}');
  assert.deepEqual(decodedValues(frameFormats.json, original, true), [1n]);
  assert.equal(refusal(decoderOf(frameFormats.csv, true), original).code, "UNSUPPORTED_MEDIA_TYPE");
});

test("MessagePack is columnar where it is a map of columns, and rows where it is not", () => {
  const { messagePack } = frameFormats;
  assert.deepEqual(decodedValues(messagePack, bodies.messagePackColumns), [1n, 2n]);
  assert.deepEqual(decodedValues(messagePack, columnsBody({ x: [1, 2] }, { table: "t" })), [1n, 2n]);
  assert.deepEqual(decodedValues(messagePack, packr.pack({ x: 5 })), [5n]);
  // A column may be called columns, beside others or with values that are no map.
  assert.deepEqual(decodedValues(messagePack, packr.pack({ x: 5, columns: { a: [1] } })), [5n]);
  assert.deepEqual(decodedValues(messagePack, packr.pack({ columns: 3 })), [null]);
  assert.deepEqual(decodedValues(messagePack, packr.pack({ table: "a", y: 3 })), [null]);
  for (const hex of ["", "c1", "81", `81a7${hexText("columns")}`, `82a5${hexText("table")}`]) {
    assert.equal(refusal(decoderOf(messagePack), Buffer.from(hex, "hex")).code, "INVALID_BODY", hex);
  }
});

test("a columnar body for another table is refused; its own name, in any case, is not", () => {
  const body = columnsBody({ x: [1] }, { table: "Orders" });
  const decode = decoderOf(frameFormats.messagePackColumns);
  decodeAll(decode, body, { ...newTarget(), table: "orders" });
  assert.match(refusal(decode, body, { ...newTarget(), table: "invoices" }).message, /"Orders".*invoices/);
});

test("names as long as the body do not end up in messages", () => {
  const name = "n".repeat(1_000_000);
  const rows = newTarget();
  decodeAll(decoderOf(frameFormats.messagePack), packr.pack([{ [name]: 1 }]), rows);
  assert.equal(rows.account.errors[0]?.code, "INVALID_COLUMN_NAME");
  assert.ok(JSON.stringify(rows.account.errors).length < 1_000);
  const columns = refusal(decoderOf(frameFormats.messagePackColumns), columnsBody({ [name]: 1 as never }));
  assert.ok(columns.message.length < 1_000);
});
