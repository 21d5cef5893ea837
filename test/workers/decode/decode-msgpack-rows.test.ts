import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { decodeMsgpackRows } from "../../../src/workers/decode/decode-msgpack-rows.js";
import {
  codesOf,
  decodeAll,
  isTaken,
  newTarget,
  payloadsOf,
  propertyRuns,
  receivedMicros,
  refusal,
  rowsOf,
  shared,
  typesOf,
  type Row,
  type TargetOptions,
} from "./bulk-harness.js";

const packr = new Packr({ useRecords: false });

function decodeRows(rows: readonly unknown[], options: TargetOptions = {}) {
  const target = newTarget(options);
  decodeAll(decodeMsgpackRows, packr.pack(rows), target);
  return target;
}

/** A map of these keys and values, each given as hexadecimal MessagePack. */
function rawMap(...entries: readonly string[]): string {
  return (0x80 + entries.length / 2).toString(16) + entries.join("");
}

describe("rows", () => {
  const rows = [{ a: 1, b: "x" }, { a: 2, b: "y" }, { b: "z", a: 3, c: true }, { c: false }];
  const expected = [{ a: 1n, b: "x" }, { a: 2n, b: "y" }, { a: 3n, b: "z", c: true }, { c: false }];

  test("as one array, as maps one after the other, and one alone", () => {
    assert.deepEqual(payloadsOf(decodeRows(rows)), expected);
    const stream = newTarget();
    decodeAll(decodeMsgpackRows, shared(Buffer.concat(rows.map((row) => packr.pack(row)))), stream, 3);
    assert.deepEqual(payloadsOf(stream), expected);
    assert.deepEqual(typesOf(stream), { a: "long", b: "string", c: "boolean" });
    const one = newTarget();
    decodeAll(decodeMsgpackRows, packr.pack({ a: 1 }), one);
    assert.deepEqual(rowsOf(one), [{ timestamp: BigInt(receivedMicros), a: 1n }]);
    assert.equal(decodeRows([]).account.rows, 0);
  });

  test("every kind of value makes its column; binary data and other extensions reject the row", () => {
    const target = decodeRows([
      { a: 1, b: 1.5, c: "s", d: true, e: new Date(1), f: { g: [1, { h: null }] }, i: [], j: null },
      { k: new Uint8Array(3) },
      { l: 2n ** 64n - 1n },
    ]);
    assert.deepEqual(typesOf(target), {
      a: "long",
      b: "double",
      c: "string",
      d: "boolean",
      e: "timestamp",
      f: "json",
      i: "json",
      l: "double",
    });
    assert.deepEqual(payloadsOf(target), [
      { a: 1n, b: 1.5, c: "s", d: true, e: 1000n, f: { g: [1, { h: null }] }, i: [] },
      { l: 2 ** 64 },
    ]);
    assert.deepEqual(codesOf(target), [[1, "k", "TYPE_MISMATCH"]]);
    assert.match(target.account.errors[0]?.message ?? "", /base64/);
  });

  test("a fraction widens a long column, or is rejected where the table says so", () => {
    const wide = decodeRows([{ a: 1 }, { a: 2.5 }, { a: 3 }]);
    assert.deepEqual(payloadsOf(wide), [{ a: 1 }, { a: 2.5 }, { a: 3 }]);
    const strict = decodeRows([{ a: 1 }, { a: 2.5 }, { a: 3e9 }], { rules: { longMeetsDouble: "reject" } });
    assert.deepEqual(payloadsOf(strict), [{ a: 1n }, { a: 3_000_000_000n }]);
    assert.deepEqual(codesOf(strict), [[1, "a", "TYPE_MISMATCH"]]);
  });

  test("a rejected row takes back the columns that it added; the rows after it can add them again", () => {
    const target = decodeRows([
      { a: 1 },
      { a: 1, n: "text", x: 1.5, a2: new Uint8Array(1) },
      { a: 2, n: 5, x: "s" },
      { a: 3, n: 6, x: "t" },
    ]);
    assert.deepEqual(typesOf(target), { a: "long", n: "long", x: "string" });
    assert.deepEqual(payloadsOf(target), [{ a: 1n }, { a: 2n, n: 5n, x: "s" }, { a: 3n, n: 6n, x: "t" }]);
    assert.deepEqual(codesOf(target), [[1, "a2", "TYPE_MISMATCH"]]);
  });

  test("keys: the last of two counts, case does not, nil is no value, odd ones are refused", () => {
    const [a, upper, b] = ["a161", "a141", "a162"];
    const maps = [
      rawMap(a, "01", upper, "02"),
      rawMap(a, "01", a, "c0"),
      rawMap(a, "a178", a, "07"),
      rawMap(a, "07", a, "a178"),
      rawMap("01", "02"),
      rawMap("a1ff", "02"),
      rawMap(b, "c0", b, "03", b, "04"),
      rawMap("c0", "c0"),
      rawMap("a0", "01"),
      rawMap("810101", "01"),
    ];
    const target = newTarget({ columns: { a: "long" } });
    decodeAll(decodeMsgpackRows, Buffer.from(maps.join(""), "hex"), target);
    assert.deepEqual(payloadsOf(target), [{ a: 2n }, {}, { a: 7n }, { b: 4n }]);
    assert.deepEqual(codesOf(target), [
      [3, "a", "TYPE_MISMATCH"],
      [4, null, "INVALID_COLUMN_NAME"],
      [5, null, "INVALID_UTF8"],
      [7, null, "INVALID_COLUMN_NAME"],
      [8, null, "INVALID_COLUMN_NAME"],
      [9, null, "INVALID_COLUMN_NAME"],
    ]);
  });

  test("elements that are no maps, and system columns", () => {
    const defaults = { idRequired: true };
    const target = decodeRows(
      [
        { id: "a", timestamp: 5 },
        5,
        [1],
        { ID: "b c" },
        { id: "" },
        {},
        { Id: 7, Timestamp: "2026-01-01T00:00:00.5Z" },
        { id: "x", timestamp: "?" },
      ],
      { defaults },
    );
    assert.deepEqual(rowsOf(target), [
      { id: "a", timestamp: 5_000_000n },
      { id: "7", timestamp: 1_767_225_600_500_000n },
    ]);
    assert.deepEqual(codesOf(target), [
      [1, null, "INVALID_ROW"],
      [2, null, "INVALID_ROW"],
      [3, "id", "INVALID_ID"],
      [4, "id", "ID_REQUIRED"],
      [5, "id", "ID_REQUIRED"],
      [7, "timestamp", "INVALID_TIMESTAMP"],
    ]);
  });

  test("rules of the table: no new columns, no more columns", () => {
    const closed = decodeRows([{ a: 1 }, { b: 1 }, { b: null }], {
      columns: { a: "long" },
      rules: { addColumns: false },
    });
    assert.deepEqual(codesOf(closed), [[1, "b", "UNKNOWN_COLUMN"]]);
    const ignoring = decodeRows(
      [
        { x: [1], a: 1 },
        { b: new Uint8Array(1), a: 2, x: null },
      ],
      {
        columns: { a: "long" },
        rules: { ignoreUnknown: true },
      },
    );
    assert.deepEqual(codesOf(ignoring), []);
    assert.deepEqual(payloadsOf(ignoring), [{ a: 1n }, { a: 2n }]);
    const full = decodeRows([{ a: 1 }, { b: 1 }], { rules: { columnsMax: 3 } });
    assert.deepEqual(codesOf(full), [[1, "b", "TOO_MANY_COLUMNS"]]);
  });

  test("nested values that no JSON text can be", () => {
    const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);
    const target = decodeRows(
      [
        { j: [Number.NaN] },
        { j: [new Uint8Array(1)] },
        { j: deep(65) },
        { j: deep(64) },
        { j: ["x".repeat(200)] },
        { j: Array.from({ length: 100 }, () => 1) },
      ],
      { valueBytesMax: 150 },
    );
    assert.deepEqual(payloadsOf(target), [{ j: deep(64) }]);
    assert.deepEqual(codesOf(target), [
      [0, "j", "NUMBER_OUT_OF_RANGE"],
      [1, "j", "TYPE_MISMATCH"],
      [2, "j", "VALUE_TOO_LARGE"],
      [4, "j", "VALUE_TOO_LARGE"],
      [5, "j", "VALUE_TOO_LARGE"],
    ]);
    const keys = newTarget();
    decodeAll(
      decodeMsgpackRows,
      Buffer.from(rawMap("a16a", "8207a16b08c3") + rawMap("a16a", "81c3c3") + rawMap("a16a", "91a1ff"), "hex"),
      keys,
    );
    assert.deepEqual(payloadsOf(keys), [{ j: { 7: "k", 8: true } }]);
    assert.deepEqual(codesOf(keys), [
      [1, "j", "TYPE_MISMATCH"],
      [2, "j", "INVALID_UTF8"],
    ]);
  });
});

describe("bodies that are refused", () => {
  const bodies: readonly (readonly [string, string, RegExp])[] = [
    ["nothing", "", /ends where a value/],
    ["JSON text", Buffer.from('{"a":1}').toString("hex"), /not a map/],
    ["a number behind a map", "8001", /not a map/],
    ["bytes behind the array", "91808001", /bytes follow/],
    ["the byte that is never used", "81a161c1", /c1/],
    ["an array of 2^32 rows", "ddffffffff80", /past its end/],
    ["a map of 2^32 entries", "dfffffffff", /past its end/],
    ["a text of 2^32 bytes", "81a161dbffffffff61", /past its end/],
    ["binary data of 2^32 bytes", "81a161c6ffffffff61", /past its end/],
    ["an extension of 2^32 bytes", "81a161c9ffffffff0561", /past its end/],
    ["ten open arrays", "81a161" + "91".repeat(10), /past its end/],
  ];
  for (const [name, hex, pattern] of bodies) {
    test(name, () => {
      const target = newTarget({ earlierRows: 1 });
      const error = refusal(decodeMsgpackRows, Buffer.from(hex, "hex"), target);
      assert.equal(error.code, "INVALID_BODY");
      assert.match(error.message, pattern);
      assert.equal(typeof error.details["position"], "number");
      assert.equal(rowsOf(target).length, 1);
    });
  }

  test("ten million open arrays, in a value and at the top", () => {
    const open = Buffer.alloc(10_000_000, 0x91);
    assert.equal(refusal(decodeMsgpackRows, Buffer.concat([Buffer.from("81a161", "hex"), open])).code, "INVALID_BODY");
    assert.equal(refusal(decodeMsgpackRows, open).code, "INVALID_BODY");
  });

  test("a body cut anywhere but between rows", () => {
    const parts = [
      { a: 1, s: "text €" },
      { a: 2.5, j: [1, { k: "v" }] },
      { t: new Date(1), timestamp: "2026-01-01T00:00:00Z" },
    ].map((row) => packr.pack(row));
    const body = Buffer.concat(parts);
    const ends = new Set(parts.map((_, index) => Buffer.concat(parts.slice(0, index + 1)).length));
    const target = newTarget();
    for (let length = 0; length < body.length; length++) {
      if (ends.has(length)) continue;
      assert.equal(
        refusal(decodeMsgpackRows, body.subarray(0, length), target).code,
        "INVALID_BODY",
        `cut at ${length}`,
      );
      assert.equal(rowsOf(target).length, 0);
    }
  });
});

// ---- properties ------------------------------------------------------------------------------------------------

const keyName = fc.constantFrom("a", "b", "c", "d", "longer_name", "naïve", "timestamp", "id");
const value = fc.oneof(
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.double(),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.boolean(),
  fc.constant(null),
  fc.date({ min: new Date(0), noInvalidDate: true }),
  fc.jsonValue({ maxDepth: 2 }),
  fc.uint8Array({ maxLength: 3 }),
);
const rowValues = fc.array(fc.dictionary(keyName, value, { maxKeys: 6 }), { maxLength: 30 });

test("texts, booleans, integers and nested values come out as msgpackr reads them", () => {
  const plain = fc.record(
    {
      long: fc.integer(),
      text: fc.string({ unit: "grapheme", maxLength: 60 }),
      flag: fc.boolean(),
      nested: fc.oneof(
        fc.array(fc.jsonValue({ maxDepth: 3 })),
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(plain, { maxLength: 40 }), fc.integer({ min: 1, max: 200 }), (rows, slice) => {
      const body = packr.pack(rows);
      const target = newTarget();
      decodeAll(decodeMsgpackRows, body, target, slice);
      const read = packr.unpack(body) as Row[];
      const expected = read.map(({ long, nested, ...rest }) => ({
        ...rest,
        ...(long === undefined ? {} : { long: BigInt(long as number) }),
        // -0 is 0 in JSON text, and JSON.parse makes own keys of "__proto__".
        ...(nested === undefined ? {} : { nested: JSON.parse(JSON.stringify(nested)) as unknown }),
      }));
      assert.deepEqual(payloadsOf(target), expected);
    }),
    propertyRuns(300),
  );
});

test("whatever the values and the order of keys: every row is counted, and the columns stay sound", () => {
  fc.assert(
    fc.property(rowValues, fc.integer({ min: 1, max: 100 }), (rows, slice) => {
      const target = newTarget({ earlierRows: 1, acceptsId: () => true });
      decodeAll(decodeMsgpackRows, packr.pack(rows), target, slice);
      assert.equal(target.account.rows, rows.length);
      assert.equal(rowsOf(target).length, target.account.accepted + 1);
    }),
    propertyRuns(500),
  );
});

test("mutated bodies are taken or refused, and never leave an unsound column", () => {
  const mutation = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(rowValues, fc.array(mutation, { minLength: 1, maxLength: 4 }), (rows, mutations) => {
      const body = packr.pack(rows);
      for (const { at, byte } of mutations) body[at % body.length] = byte;
      const target = newTarget({ earlierRows: 2 });
      isTaken(decodeMsgpackRows, body, target, ["INVALID_BODY"]);
      rowsOf(target);
    }),
    propertyRuns(800),
  );
});
