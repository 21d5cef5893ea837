import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  Binary,
  Bool,
  Dictionary,
  Field,
  Float64,
  Int32,
  Int64,
  List,
  makeVector,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  TimestampMicrosecond,
  TimestampMillisecond,
  Uint64,
  Utf8,
  vectorFromArray,
  type DataType,
  type RecordBatch,
  type Vector,
} from "apache-arrow";
import * as fc from "fast-check";
import { decodeArrow } from "../../../src/workers/decode/decode-arrow.js";
import {
  codesOf,
  decodeAll,
  newTarget,
  payloadsOf,
  propertyRuns,
  receivedMicros,
  refusal,
  rowsOf,
  shared,
  typesOf,
  valuesOf,
  type Row,
  type TargetOptions,
} from "./bulk-harness.js";

function decode(body: Uint8Array, options: TargetOptions = {}) {
  const target = newTarget(options);
  decodeAll(decodeArrow, body, target);
  return target;
}

function streamOf(columns: Record<string, Vector>): Uint8Array {
  return tableToIPC(new Table(columns), "stream");
}

const instant = BigInt(Date.UTC(2026, 10, 22, 19, 20, 21)) * 1000n;
const yearOne = -62_135_596_800_000_000n;

describe("columns and rules", () => {
  const integers = (...values: readonly (bigint | null)[]): Vector => vectorFromArray(values, new Int64());
  const doubles = (...values: readonly (number | null)[]): Vector => vectorFromArray(values, new Float64());
  const texts = (...values: readonly (string | null)[]): Vector => vectorFromArray(values, new Utf8());

  test("integers into a double column; whole numbers into a long one; fractions widen it or are rejected", () => {
    assert.deepEqual(valuesOf(decode(streamOf({ x: integers(1n, null, -3n) }), { columns: { x: "double" } })), [
      1,
      null,
      -3,
    ]);
    const options: TargetOptions = { columns: { x: "long" }, earlierRows: 2 };
    assert.deepEqual(valuesOf(decode(streamOf({ x: doubles(1, null, -7e9) }), options)), [
      null,
      null,
      1n,
      null,
      -7_000_000_000n,
    ]);
    const wide = decode(streamOf({ x: doubles(1, 2.5, null, 1e300) }), options);
    assert.deepEqual(valuesOf(wide), [null, null, 1, 2.5, null, 1e300]);
    const strict = decode(streamOf({ x: doubles(1, 2.5, null, 4) }), {
      ...options,
      rules: { longMeetsDouble: "reject" },
    });
    assert.deepEqual(valuesOf(strict), [null, null, 1n, null, 4n]);
    assert.deepEqual(codesOf(strict), [[1, "x", "TYPE_MISMATCH"]]);
  });

  test("numbers that are not finite, or past 2^63, reject their rows", () => {
    const notFinite = doubles(1.5, Number.NaN, Number.POSITIVE_INFINITY, null, 2);
    for (const columns of [{}, { x: "long" } as const]) {
      const target = decode(streamOf({ x: notFinite }), { columns });
      assert.deepEqual(valuesOf(target), [1.5, null, 2]);
      assert.deepEqual(codesOf(target), [
        [1, "x", "NUMBER_OUT_OF_RANGE"],
        [2, "x", "NUMBER_OUT_OF_RANGE"],
      ]);
    }
    const unsigned = streamOf({ x: vectorFromArray([1n, 2n ** 63n, null, 3n], new Uint64()) });
    const target = decode(unsigned);
    assert.deepEqual(valuesOf(target), [1n, null, 3n]);
    assert.deepEqual(codesOf(target), [[1, "x", "NUMBER_OUT_OF_RANGE"]]);
    assert.deepEqual(valuesOf(decode(unsigned, { columns: { x: "double" } })), [1, 2 ** 63, null, 3]);
  });

  test("texts and numbers as timestamps; ids of integers", () => {
    const body = streamOf({
      Timestamp: texts(
        "2026-11-22T19:20:21Z",
        "2026-11-22T19:20:21",
        null,
        "2026-11-22 19:20:21.5+01:00",
        "",
        "0000-11-22T19:20:21Z",
      ),
      ID: integers(7n, 8n, null, -9n, 1n, 2n),
    });
    const target = decode(body);
    assert.deepEqual(rowsOf(target), [
      { timestamp: instant, id: "7" },
      { timestamp: BigInt(receivedMicros) },
      { timestamp: instant - 3_599_500_000n, id: "-9" },
    ]);
    assert.deepEqual(codesOf(target), [
      [1, "timestamp", "INVALID_TIMESTAMP"],
      [4, "timestamp", "INVALID_TIMESTAMP"],
      [5, "timestamp", "TIMESTAMP_OUT_OF_RANGE"],
    ]);
    const epochs = decode(
      streamOf({
        timestamp: integers(1_700_000_000n, 1_700_000_000_123n, 1_700_000_000_123_456n, 1_700_000_000_123_456_789n),
      }),
    );
    assert.deepEqual(valuesOf(epochs, "timestamp"), [
      1_700_000_000_000_000n,
      1_700_000_000_123_000n,
      1_700_000_000_123_456n,
      1_700_000_000_123_456n,
    ]);
    const fractions = decode(streamOf({ timestamp: doubles(1_700_000_000.25, Number.NaN, 1e300, null) }));
    assert.deepEqual(valuesOf(fractions, "timestamp"), [1_700_000_000_250_000n, BigInt(receivedMicros)]);
    assert.deepEqual(codesOf(fractions), [
      [1, "timestamp", "INVALID_TIMESTAMP"],
      [2, "timestamp", "TIMESTAMP_OUT_OF_RANGE"],
    ]);
  });

  test("timestamps out of range reject their rows, whatever their unit", () => {
    const micros = makeVector({
      type: new TimestampMicrosecond(),
      data: BigInt64Array.of(0n, 2n ** 62n, -(2n ** 62n), yearOne, yearOne - 1n),
    } as never) as Vector;
    assert.deepEqual(valuesOf(decode(streamOf({ x: micros })), "x"), [0n, yearOne]);
    const millis = makeVector({
      type: new TimestampMillisecond(),
      data: BigInt64Array.of(0n, 2n ** 62n, yearOne / 1000n),
    } as never) as Vector;
    assert.deepEqual(valuesOf(decode(streamOf({ x: millis })), "x"), [0n, yearOne]);
  });

  test("broken UTF-8 rejects its rows; bytes behind a null do not, and are not kept", () => {
    const bytes = Buffer.from("ab\xffc\xc3\xa9d\xc3", "latin1");
    // "ab", ff, "c" c3, a9 "d", c3: the whole is cut inside a character twice.
    const offsets = Int32Array.of(0, 2, 3, 5, 7, 8);
    const data = (nullBitmap: Uint8Array, nullCount: number) =>
      makeVector({
        type: new Utf8(),
        data: bytes,
        valueOffsets: offsets,
        length: 5,
        nullBitmap,
        nullCount,
      } as never) as Vector;
    const all = decode(streamOf({ x: data(Uint8Array.of(0b11111), 0) }), { earlierRows: 1 });
    assert.deepEqual(valuesOf(all), [null, "ab"]);
    assert.deepEqual(
      codesOf(all),
      [1, 2, 3, 4].map((row) => [row, "x", "INVALID_UTF8"]),
    );
    const behindNulls = decode(streamOf({ x: data(Uint8Array.of(0b00001), 4) }));
    assert.deepEqual(valuesOf(behindNulls), ["ab", null, null, null, null]);
    assert.equal(behindNulls.builder.finish().columns.at(-1)?.values.length, 2);
  });

  test("what does not fit rejects the rows that have it", () => {
    const body = streamOf({
      a: integers(1n, null, 3n),
      b: texts("x", "y", null),
      c: vectorFromArray([true, null, null], new Bool()),
    });
    const target = decode(body, { columns: { a: "string", b: "long", c: "boolean" }, errorsMax: 2 });
    assert.equal(target.account.rejected, 3);
    assert.deepEqual(codesOf(target), [
      [0, "a", "TYPE_MISMATCH"],
      [1, "b", "TYPE_MISMATCH"],
    ]);
    const closed = decode(body, { rules: { addColumns: false }, columns: { a: "long" } });
    assert.deepEqual(valuesOf(closed, "a"), [3n]);
    assert.deepEqual(codesOf(closed), [
      [0, "b", "UNKNOWN_COLUMN"],
      [1, "b", "UNKNOWN_COLUMN"],
    ]);
    const ignoring = decode(body, { rules: { ignoreUnknown: true }, columns: { b: "string" } });
    assert.deepEqual(codesOf(ignoring), []);
    assert.deepEqual(typesOf(ignoring), { b: "string" });
    assert.equal(
      decode(streamOf({ a: texts("abc", "abcd") }), { valueBytesMax: 3 }).account.errors[0]?.code,
      "VALUE_TOO_LARGE",
    );
  });

  test("nested values: not finite, too long, broken UTF-8", () => {
    const list = new List(new Field("item", new Float64()));
    const target = decode(streamOf({ x: vectorFromArray([[1.5], [Number.NaN], null, [1, 2, 3, 4, 5, 6]], list) }), {
      valueBytesMax: 10,
    });
    assert.deepEqual(valuesOf(target), [[1.5], null]);
    assert.deepEqual(codesOf(target), [
      [1, "x", "NUMBER_OUT_OF_RANGE"],
      [3, "x", "VALUE_TOO_LARGE"],
    ]);
  });

  test("ids that are required or made", () => {
    const body = streamOf({ id: texts("a", null, "", "b c"), x: integers(1n, 2n, 3n, 4n) });
    assert.deepEqual(valuesOf(decode(body, { defaults: { idRequired: true } })), [1n]);
    let made = 0;
    const target = decode(body, { defaults: { generateId: () => `made-${made++}` } });
    assert.deepEqual(valuesOf(target, "id"), ["a", "made-0", "made-1"]);
    assert.deepEqual(codesOf(target), [[3, "id", "INVALID_ID"]]);
  });
});

describe("bodies that are refused", () => {
  test("columns that no type can hold are named", () => {
    const error = refusal(
      decodeArrow,
      streamOf({ ok: vectorFromArray([1n], new Int64()), blob: vectorFromArray([Uint8Array.of(1)], new Binary()) }),
    );
    assert.equal(error.code, "INVALID_BODY");
    assert.match(error.message, /"blob" has the Arrow type Binary/);
    assert.equal(error.details["column"], "blob");
    const nested = new Struct([new Field("raw", new Binary())]);
    assert.match(
      refusal(decodeArrow, streamOf({ s: vectorFromArray([{ raw: Uint8Array.of(1) }], nested) })).message,
      /"s" has the Arrow type Binary/,
    );
  });

  test("no stream, no schema, a column twice, bytes behind the end", () => {
    for (const body of [
      new Uint8Array(0),
      Buffer.from("{}"),
      Buffer.from('{"a":1}\n{"a":2}\n'),
      Buffer.alloc(100),
      Buffer.from("ARROW1\0\0"),
    ]) {
      assert.equal(refusal(decodeArrow, body).code, "INVALID_BODY");
    }
    const twice = new Schema([new Field("x", new Int32()), new Field("X", new Int32())]);
    assert.match(refusal(decodeArrow, tableToIPC(new Table(twice), "stream")).message, /"X" is there twice/);
    const stream = streamOf({ x: vectorFromArray([1n], new Int64()) });
    assert.match(refusal(decodeArrow, Buffer.concat([stream, Buffer.alloc(8)])).message, /bytes follow/);
  });

  test("a stream without batches, and one of empty batches, has no rows", () => {
    assert.equal(decode(tableToIPC(new Table(new Schema([new Field("x", new Int32())])), "stream")).account.rows, 0);
    assert.equal(
      decode(streamOf({ x: vectorFromArray([], new Int64()), s: vectorFromArray([], new Utf8()) })).account.rows,
      0,
    );
  });

  test("a dictionary that makes too much of a short body", () => {
    const word = "w".repeat(1_000_000);
    const words = vectorFromArray(
      Array.from({ length: 600 }, () => word),
      new Dictionary(new Utf8(), new Int32()),
    );
    const before = process.memoryUsage().arrayBuffers;
    assert.equal(refusal(decodeArrow, streamOf({ words })).code, "BODY_TOO_LARGE");
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024);
  });
});

const text = fc.string({ unit: "grapheme", maxLength: 30 });
const columnKinds: readonly { readonly type: () => DataType; readonly value: fc.Arbitrary<unknown> }[] = [
  { type: () => new Int64(), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
  { type: () => new Int32(), value: fc.integer() },
  { type: () => new Float64(), value: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { type: () => new Utf8(), value: text },
  { type: () => new Bool(), value: fc.boolean() },
  { type: () => new TimestampMillisecond(), value: fc.integer({ min: -1e12, max: 1e12 }) },
  { type: () => new Dictionary(new Utf8(), new Int32()), value: text },
];
const column = fc.constantFrom(...columnKinds).chain(({ type, value }) =>
  fc.record({
    type: fc.constant(type),
    values: fc.array(fc.option(value, { freq: 4 }), { minLength: 40, maxLength: 40 }),
  }),
);

test("tables of apache-arrow come out as apache-arrow reads them, sliced and in several batches", () => {
  const slice = fc.record({ start: fc.nat({ max: 20 }), rows: fc.nat({ max: 20 }) });
  fc.assert(
    fc.property(
      fc.array(column, { minLength: 1, maxLength: 4 }),
      fc.array(slice, { minLength: 1, maxLength: 3 }),
      fc.constantFrom("stream", "file"),
      (columns, slices, format) => {
        const vectors = Object.fromEntries(
          columns.map(({ type, values }, index) => [`c${index}`, vectorFromArray(values, type())]),
        );
        const table = new Table(vectors);
        const batches = slices.flatMap(({ start, rows }) =>
          table.slice(start, start + rows).batches.filter((batch: RecordBatch) => batch.numRows > 0),
        );
        const body = tableToIPC(new Table(table.schema, batches), format as "stream");
        const target = newTarget({ earlierRows: 3 });
        decodeAll(decodeArrow, shared(body), target, 500);
        const read = tableFromIPC(body);
        const expected: Row[] = [...read].map((row) =>
          Object.fromEntries(
            Object.entries(row?.toJSON() ?? {})
              .filter(([, value]) => value !== null)
              .map(([name, value]) => {
                const typeId = read.getChild(name)?.type.typeId;
                if (typeId === new Int32().typeId) return [name, BigInt(value as number)];
                return [name, typeId === new TimestampMillisecond().typeId ? BigInt(value as number) * 1000n : value];
              }),
          ),
        );
        assert.deepEqual(payloadsOf(target).slice(3), expected);
      },
    ),
    propertyRuns(150),
  );
});
