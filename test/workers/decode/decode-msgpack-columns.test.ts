import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeMsgpackColumns } from "../../../src/workers/decode/decode-msgpack-columns.js";
import { codesOf, decodeAll, newTarget, receivedMicros, refusal, rowsOf, typesOf, valuesOf } from "./bulk-harness.js";
import { columnsBody, decodeColumns, hexText, packr, rawColumn } from "./msgpack-bodies.js";

/** Row and code of the errors, where one column is at fault. */
function rowCodes({ account }: ReturnType<typeof newTarget>): unknown[] {
  return account.errors.map(({ row, code }) => [row, code]);
}

describe("values", () => {
  test("integers of every width, exactly", () => {
    const forms: readonly (readonly [string, bigint])[] = [
      ["00", 0n],
      ["7f", 127n],
      ["ff", -1n],
      ["e0", -32n],
      ["ccff", 255n],
      ["cdffff", 65_535n],
      ["ceffffffff", 4_294_967_295n],
      ["cf7fffffffffffffff", 2n ** 63n - 1n],
      ["d080", -128n],
      ["d18000", -32_768n],
      ["d280000000", -2_147_483_648n],
      ["d38000000000000000", -(2n ** 63n)],
      ["cf0020000000000001", 2n ** 53n + 1n],
      ["d3ffdfffffffffffff", -(2n ** 53n) - 1n],
    ];
    // In two orders, so that each form stands in the body's last bytes as well as in its middle.
    for (const order of [forms, forms.toReversed()]) {
      const target = newTarget();
      decodeAll(decodeMsgpackColumns, rawColumn(order.map(([hex]) => hex)), target);
      assert.deepEqual(typesOf(target), { x: "long" });
      assert.deepEqual(
        valuesOf(target),
        order.map(([, value]) => value),
      );
    }
  });

  test("an integer past 2^63 makes a double column, and is rejected by a long one", () => {
    const first = newTarget();
    decodeAll(decodeMsgpackColumns, rawColumn(["cf8000000000000000", "01"]), first);
    assert.deepEqual(valuesOf(first), [2 ** 63, 1]);
    const second = newTarget({ columns: { x: "long" } });
    decodeAll(decodeMsgpackColumns, rawColumn(["01", "cf8000000000000000", "02"]), second);
    assert.deepEqual(valuesOf(second), [1n, 2n]);
    assert.deepEqual(second.account.errors, [
      { row: 1, column: "x", code: "NUMBER_OUT_OF_RANGE", message: "the integer does not fit 64 bits" },
    ]);
  });

  test("floats of 32 and 64 bits; a mix with integers is double; infinities and NaN are rejected", () => {
    const target = newTarget();
    const body = rawColumn([
      "01",
      "ca3fc00000",
      "cb3ff199999999999a",
      "cb7ff0000000000000",
      "ca7fc00000",
      "ce00000007",
      "cbfff0000000000000",
    ]);
    decodeAll(decodeMsgpackColumns, body, target);
    assert.deepEqual(valuesOf(target), [1, 1.5, 1.1, 7]);
    assert.deepEqual(rowCodes(target), [
      [3, "NUMBER_OUT_OF_RANGE"],
      [4, "NUMBER_OUT_OF_RANGE"],
      [6, "NUMBER_OUT_OF_RANGE"],
    ]);
  });

  test("a float with an integer's value stays in a long column; a fraction widens it, earlier rows with it", () => {
    const stays = decodeColumns({ x: [1, 5_000_000_000, -7_000_000_000, 3] }, { columns: { x: "long" } });
    assert.deepEqual(valuesOf(stays), [1n, 5_000_000_000n, -7_000_000_000n, 3n]);
    const widens = decodeColumns({ x: [1, null, 2.5, 3] }, { columns: { x: "long" }, earlierRows: 3 });
    assert.deepEqual(typesOf(widens), { x: "double" });
    assert.deepEqual(valuesOf(widens), [null, null, null, 1, null, 2.5, 3]);
    const refuses = decodeColumns({ x: [1, 2.5, 3] }, { columns: { x: "long" }, rules: { longMeetsDouble: "reject" } });
    assert.deepEqual(valuesOf(refuses), [1n, 3n]);
    assert.equal(refuses.account.errors[0]?.code, "TYPE_MISMATCH");
  });

  test("texts of every length form, with every width of UTF-8", () => {
    const lengths = [0, 1, 31, 32, 47, 48, 63, 64, 65, 95, 96, 255, 256, 65_535, 65_536];
    const texts = lengths.flatMap((length) => [
      "a".repeat(length),
      "é".repeat(length >> 1),
      `${"x".repeat(length)}€😀`,
    ]);
    const target = decodeColumns({ x: [...texts, null, "end"] });
    assert.deepEqual(valuesOf(target), [...texts, null, "end"]);
  });

  test("broken UTF-8 rejects its row only, in short and long texts", () => {
    const broken = (length: number): string => {
      const bytes = Buffer.alloc(length, "b");
      bytes[length - 1] = 0xc3;
      return `d9${length.toString(16).padStart(2, "0")}${bytes.toString("hex")}`;
    };
    const target = newTarget();
    decodeAll(decodeMsgpackColumns, rawColumn(["a161", broken(1), broken(20), "a162", broken(200), "a163"]), target);
    assert.deepEqual(valuesOf(target), ["a", "b", "c"]);
    assert.deepEqual(rowCodes(target), [
      [1, "INVALID_UTF8"],
      [2, "INVALID_UTF8"],
      [4, "INVALID_UTF8"],
    ]);
  });

  test("booleans, nulls, nested values", () => {
    const target = decodeColumns({ flag: [true, null, false], x: [{ a: [1, "é", null] }, null, [new Date(0), -0.5]] });
    assert.deepEqual(typesOf(target), { flag: "boolean", x: "json" });
    assert.deepEqual(valuesOf(target, "flag"), [true, null, false]);
    assert.deepEqual(valuesOf(target), [{ a: [1, "é", null] }, null, ["1970-01-01T00:00:00.000Z", -0.5]]);
  });

  test("binary data and other extensions are rejected with a sentence", () => {
    const target = newTarget();
    decodeAll(
      decodeMsgpackColumns,
      rawColumn(["c403010203", "d40501", "a161", "81a16bc40101", `c70805${"00".repeat(8)}`]),
      target,
    );
    assert.deepEqual(valuesOf(target), ["a"]);
    assert.equal(target.account.rejected, 4);
    assert.match(target.account.errors[0]?.message ?? "", /binary data/);
  });

  test("a value longer than the bound, or deeper, rejects its row", () => {
    const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);
    const target = decodeColumns(
      { s: ["abcd", "abcdef", "ok", "ok"], j: [[1], [2], deep(4), ["123456"]] },
      { valueBytesMax: 5, depthMax: 3 },
    );
    assert.deepEqual(
      rowsOf(target).map(({ s, j }) => [s, j]),
      [["abcd", [1]]],
    );
    assert.deepEqual(rowCodes(target), [
      [1, "VALUE_TOO_LARGE"],
      [2, "VALUE_TOO_LARGE"],
      [3, "VALUE_TOO_LARGE"],
    ]);
  });
});

describe("system columns", () => {
  test("timestamps as extensions of 32, 64 and 96 bits, down to the microsecond", () => {
    const forms: readonly (readonly [string, bigint])[] = [
      ["d6ff66000000", 0x6600_0000n * 1_000_000n],
      // 999,999,999 ns in the upper 30 bits, then 34 bits of seconds.
      ["d7ffee6b27fd66000000", 0x1_6600_0000n * 1_000_000n + 999_999n],
      ["c70cff3b9ac9ffffffffffffffffff", -1n],
    ];
    const target = newTarget();
    const body = rawColumn(
      forms.map(([hex]) => hex),
      "timestamp",
    );
    decodeAll(decodeMsgpackColumns, body, target);
    assert.deepEqual(
      valuesOf(target, "timestamp"),
      forms.map(([, micros]) => micros),
    );
    const bad = newTarget();
    const wrong = ["d7ffee6b280066000000", "c703ff010203", "c70cff000000007fffffffffffffff"];
    decodeAll(decodeMsgpackColumns, rawColumn(wrong, "timestamp"), bad);
    assert.deepEqual(rowCodes(bad), [
      [0, "INVALID_TIMESTAMP"],
      [1, "INVALID_TIMESTAMP"],
      [2, "TIMESTAMP_OUT_OF_RANGE"],
    ]);
  });

  test("the same instant in every unit and form", () => {
    const seconds = 1_700_000_123;
    const instant = BigInt(seconds) * 1_000_000n;
    const values = [
      seconds,
      seconds * 1e3,
      seconds * 1e6,
      BigInt(seconds) * 1_000_000_000n,
      BigInt(seconds) * 1_000_000n,
      new Date(seconds * 1000),
      new Date(seconds * 1000).toISOString(),
      `${new Date(seconds * 1000).toISOString().slice(0, 19)}+00:00`,
    ];
    const target = decodeColumns({
      timestamp: [...values, seconds + 0.25, seconds * 1e3 + 0.5],
      x: [...values, 1, 1].map((_, row) => row),
    });
    assert.deepEqual(valuesOf(target, "timestamp"), [...values.map(() => instant), instant + 250_000n, instant + 500n]);
  });

  test("a bad timestamp rejects its row; a missing one is the receive time", () => {
    const values = [
      1_700_000_000,
      "yesterday",
      null,
      1e300,
      NaN,
      true,
      "0000-01-01T00:00:00Z",
      new Uint8Array(2),
      "x".repeat(100),
      2 ** 64,
    ];
    const target = decodeColumns({ Timestamp: values, x: values.map((_, row) => row) });
    assert.deepEqual(valuesOf(target), [0n, 2n]);
    assert.deepEqual(valuesOf(target, "timestamp"), [1_700_000_000_000_000n, BigInt(receivedMicros)]);
    assert.deepEqual(rowCodes(target), [
      [1, "INVALID_TIMESTAMP"],
      [3, "TIMESTAMP_OUT_OF_RANGE"],
      [4, "INVALID_TIMESTAMP"],
      [5, "TYPE_MISMATCH"],
      [6, "TIMESTAMP_OUT_OF_RANGE"],
      [7, "TYPE_MISMATCH"],
      [8, "INVALID_TIMESTAMP"],
      [9, "TIMESTAMP_OUT_OF_RANGE"],
    ]);
    const none = decodeColumns({ x: [1, 2] });
    assert.deepEqual(valuesOf(none, "timestamp"), [BigInt(receivedMicros), BigInt(receivedMicros)]);
  });

  test("ids: the rule, empty ones, integers as their digits", () => {
    const target = decodeColumns({ ID: ["a", "", "not good", null, 7, "z"], x: [0, 1, 2, 3, 4, 5] });
    assert.deepEqual(valuesOf(target, "id"), ["a", null, null, "7", "z"]);
    assert.deepEqual(valuesOf(target), [0n, 1n, 3n, 4n, 5n]);
    assert.deepEqual(rowCodes(target), [[2, "INVALID_ID"]]);
  });

  test("ids that are required, and ids that are made", () => {
    const required = decodeColumns({ id: ["a", null, "", "b"] }, { defaults: { idRequired: true } });
    assert.deepEqual(valuesOf(required, "id"), ["a", "b"]);
    assert.deepEqual(rowCodes(required), [
      [1, "ID_REQUIRED"],
      [2, "ID_REQUIRED"],
    ]);
    let made = 0;
    const defaults = { idRequired: true, generateId: () => `made-${made++}` };
    const some = decodeColumns({ id: ["a", null, "b c", "", "b"] }, { defaults, earlierRows: 2 });
    assert.deepEqual(valuesOf(some, "id"), ["earlier-0", "earlier-1", "a", "made-0", "made-1", "b"]);
    const all = decodeColumns({ x: [1, 2] }, { defaults });
    assert.deepEqual(valuesOf(all, "id"), ["made-2", "made-3"]);
    const none = decodeColumns({ x: [1, 2] }, { defaults: { idRequired: true } });
    assert.equal(none.account.rejected, 2);
  });
});

describe("columns", () => {
  test("unknown columns are added by their values; all-nil ones and bad names are not", () => {
    const target = decodeColumns({ a: [null, 1], b: [null, null], "": [null, 1], c: [null, new Uint8Array(1)] });
    assert.deepEqual(typesOf(target), { a: "long" });
    assert.deepEqual(codesOf(target), [[1, "", "INVALID_COLUMN_NAME"]]);
    const closed = decodeColumns({ a: [1, null], x: [1, 2] }, { columns: { x: "long" }, rules: { addColumns: false } });
    assert.deepEqual(valuesOf(closed), [2n]);
    assert.equal(closed.account.errors[0]?.code, "UNKNOWN_COLUMN");
    const ignoring = decodeColumns(
      { a: [1, null], x: [1, 2], b: [new Uint8Array(1), "b"] },
      { columns: { x: "long" }, rules: { ignoreUnknown: true } },
    );
    assert.deepEqual(valuesOf(ignoring), [1n, 2n]);
    assert.deepEqual(codesOf(ignoring), []);
    const full = decodeColumns({ a: [1, null] }, { rules: { columnsMax: 2 } });
    assert.equal(full.account.errors[0]?.code, "TOO_MANY_COLUMNS");
  });

  test("values that do not fit their column reject their rows, in order, with the row's number in the request", () => {
    const target = decodeColumns(
      { x: [1, "one", 2, true, null, [1]], y: ["a", "b", 3, "d", "e", "f"] },
      { earlierRows: 1, errorsMax: 3 },
    );
    assert.deepEqual(valuesOf(target), [null, 1n, null]);
    assert.deepEqual(valuesOf(target, "y"), [null, "a", "e"]);
    assert.equal(target.account.accepted, 2);
    assert.equal(target.account.rejected, 4);
    assert.deepEqual(
      target.account.errors.map(({ row, column }) => [row, column]),
      [
        [1, "x"],
        [2, "y"],
        [3, "x"],
      ],
    );
    assert.equal(target.account.errors[0]?.message, "the column takes an integer; the value is a string");
  });

  test("no rows, no columns, a table's name, several bodies in one builder", () => {
    assert.equal(decodeColumns({}).account.rows, 0);
    assert.equal(decodeColumns({ x: [] }).account.rows, 0);
    const target = newTarget();
    decodeAll(decodeMsgpackColumns, columnsBody({ x: [1, 2] }, { table: "t" }), target);
    decodeAll(decodeMsgpackColumns, columnsBody({ y: ["a"] }), target);
    decodeAll(decodeMsgpackColumns, columnsBody({ x: [3.5], y: ["b"] }), target);
    assert.deepEqual(valuesOf(target), [1, 2, null, 3.5]);
    assert.deepEqual(valuesOf(target, "y"), [null, null, "a", "b"]);
  });
});

describe("bodies that are refused", () => {
  const shapes: readonly (readonly [string, unknown, RegExp])[] = [
    ["an array", [], /not a map/],
    ["a map without columns", { table: "t" }, /no columns/],
    ["another key", { columns: {}, rows: 1 }, /"rows"/],
    ["columns as an array", { columns: [] }, /columns is not a map/],
    ["a column that is no array", { columns: { x: 1 } }, /"x" is not an array/],
    ["arrays of different lengths", { columns: { x: [1, 2], y: [1] } }, /"y" has 1 values, the first column has 2/],
    ["a column twice", { columns: { x: [1], X: [1] } }, /"X" is there twice/],
    ["a table that is no text", { table: 1, columns: {} }, /table is not text/],
    ["a key that is no text", new Map([[1, 2]]), /key is not text/],
  ];
  for (const [name, value, pattern] of shapes) {
    test(name, () => {
      const error = refusal(decodeMsgpackColumns, packr.pack(value));
      assert.equal(error.code, "INVALID_BODY");
      assert.match(error.message, pattern);
      assert.equal(typeof error.details["position"], "number");
    });
  }

  test("bytes behind the end, and the byte that is never used", () => {
    assert.match(
      refusal(decodeMsgpackColumns, Buffer.concat([columnsBody({ x: [1] }), Buffer.of(0)])).message,
      /bytes follow/,
    );
    assert.match(refusal(decodeMsgpackColumns, rawColumn(["01", "c1"])).message, /c1/);
    assert.equal(refusal(decodeMsgpackColumns, new Uint8Array(0)).code, "INVALID_BODY");
  });

  test("huge claims of length allocate nothing", () => {
    const columns = hexText("columns");
    const claims = [
      "dfffffffff",
      `81a7${columns}dfffffffff`,
      `81a7${columns}81a178ddffffffff`,
      `81a7${columns}81a17891dbffffffff`,
      `81a7${columns}81a17891ddffffffff`,
    ];
    const before = process.memoryUsage();
    for (const hex of claims) {
      assert.equal(refusal(decodeMsgpackColumns, Buffer.from(hex, "hex")).code, "INVALID_BODY", hex);
    }
    const after = process.memoryUsage();
    assert.ok(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed < 32 * 1024 * 1024);
  });

  test("ten million open arrays", () => {
    const columns = hexText("columns");
    const body = Buffer.concat([Buffer.from(`81a7${columns}81a17891`, "hex"), Buffer.alloc(10_000_000, 0x91)]);
    assert.equal(refusal(decodeMsgpackColumns, body).code, "INVALID_BODY");
  });
});
