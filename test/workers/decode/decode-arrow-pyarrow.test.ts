import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { decodeArrow } from "../../../src/workers/decode/decode-arrow.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import {
  decodeAll,
  isTaken,
  newTarget,
  propertyRuns,
  receivedMicros,
  refusal,
  rowsOf,
  typesOf,
  valuesOf,
  type Row,
  type TargetOptions,
} from "./bulk-harness.js";

function golden(name: string): Uint8Array {
  return readFileSync(join(repositoryRoot, "test/golden", name));
}

function decode(body: Uint8Array, options: TargetOptions = {}) {
  const target = newTarget(options);
  decodeAll(decodeArrow, body, target);
  return target;
}

const instant = BigInt(Date.UTC(2026, 10, 22, 19, 20, 21)) * 1000n;
const midnight = BigInt(Date.UTC(2026, 10, 22)) * 1000n;
const yearOne = -62_135_596_800_000_000n;

/** What test/golden/make-arrow.py writes; every column is null in the row between. */
const goldenRows: readonly [Row, Row] = [
  {
    timestamp: instant + 123_456n,
    id: "a",
    i8: -128n,
    i16: -32_768n,
    i32: -(2n ** 31n),
    i64: -(2n ** 63n),
    u8: 0n,
    u16: 0n,
    u32: 0n,
    u64: 0n,
    f16: -1.5,
    f32: -1.5,
    f64: -1.5,
    flag: true,
    text: "é",
    large_text: "€",
    text_view: "short",
    word: "x",
    number_word: 7n,
    date32: midnight,
    date64: midnight,
    ts_s: instant,
    ts_ms: instant + 123_000n,
    ts_us: instant + 123_456n,
    ts_ns: 1_700_000_000_123_456n,
    decimal: Number("-12345678901234.567"),
    decimal256: -12_300,
    list: [1, null, 2 ** 60],
    large_list: ["a", "b"],
    pair: [1.5, 2],
    struct: { a: 1, "b c": [true, false] },
    map: { k: "2026-11-22T19:20:21.123456Z" },
    int_map: { 1: "p", 2: "q" },
  },
  {
    timestamp: instant + 123_456n,
    id: "c",
    i8: 127n,
    i16: 32_767n,
    i32: 2n ** 31n - 1n,
    i64: 2n ** 63n - 1n,
    u8: 255n,
    u16: 65_535n,
    u32: 2n ** 32n - 1n,
    u64: 2n ** 63n - 1n,
    f16: 65_504,
    f32: 3.4028234663852886e38,
    f64: 1e308,
    flag: false,
    text: "",
    large_text: "long ".repeat(20),
    text_view: "longer than twelve bytes",
    word: "y",
    number_word: -7n,
    date32: yearOne,
    date64: BigInt(Date.UTC(9999, 11, 31)) * 1000n,
    ts_s: yearOne,
    ts_ms: BigInt(Date.UTC(9999, 10, 22, 19, 20, 21, 999)) * 1000n,
    ts_us: -1n,
    ts_ns: -1n,
    decimal: 0.001,
    decimal256: 1e40,
    list: [],
    large_list: [null],
    pair: [3, null],
    struct: { a: null, "b c": null },
    map: {},
    int_map: { 3: "p" },
  },
];

describe("what pyarrow writes", () => {
  const expected = [goldenRows[0], { timestamp: BigInt(receivedMicros) }, goldenRows[1]];

  test("every type, sliced, as a stream of two batches", () => {
    const target = decode(golden("arrow-types.arrows"));
    assert.deepEqual(rowsOf(target), [...expected, ...expected]);
    assert.equal(target.account.accepted, 6);
    const types = typesOf(target);
    assert.equal(types["nothing"], undefined);
    assert.equal(types["struct"], "json");
    assert.equal(types["u64"], "long");
    assert.equal(types["date32"], "timestamp");
  });

  test("the same as a file, in shared memory, at every alignment, in slices, behind other rows", () => {
    const file = golden("arrow-types.arrow");
    for (let offset = 0; offset < 8; offset++) {
      const body = new Uint8Array(new SharedArrayBuffer(file.length + offset), offset);
      body.set(file);
      const target = newTarget({ earlierRows: offset });
      decodeAll(decodeArrow, body, target, 1 + offset * 100);
      assert.deepEqual(rowsOf(target).slice(offset), expected);
    }
  });

  test("dictionaries that grow, and that are replaced", () => {
    assert.deepEqual(valuesOf(decode(golden("arrow-delta.arrows")), "word"), ["a", "b", null, "c", "a", "b"]);
    assert.deepEqual(valuesOf(decode(golden("arrow-replaced.arrows")), "word"), ["a", "b", null, null, "new", "new"]);
  });

  test("compressed buffers are refused with the way out", () => {
    for (const codec of ["lz4", "zstd"]) {
      const error = refusal(decodeArrow, golden(`arrow-${codec}.arrows`));
      assert.equal(error.code, "UNSUPPORTED_MEDIA_TYPE");
      assert.match(error.message, new RegExp(`${codec.toUpperCase()}.*Content-Encoding`));
    }
  });

  test("any cut is refused, but for those between the messages of a stream", () => {
    const takenRows = (name: string, stride: number): number[] => {
      const stream = golden(name);
      const taken: number[] = [];
      for (let length = 0; length < stream.length; length += stride) {
        const target = newTarget();
        if (isTaken(decodeArrow, stream.subarray(0, length), target, ["INVALID_BODY"])) taken.push(target.account.rows);
        else assert.equal(rowsOf(target).length, 0);
      }
      return taken;
    };
    // Behind the schema, the dictionary, the first batch, the delta, the second batch and a part of the end marker.
    assert.deepEqual(takenRows("arrow-delta.arrows", 1), [0, 0, 3, 3, 6]);
    assert.deepEqual(new Set(takenRows("arrow-types.arrows", 8)), new Set([0, 3, 6]));
    const file = golden("arrow-types.arrow");
    for (let length = 0; length < file.length; length += 8) {
      assert.equal(refusal(decodeArrow, file.subarray(0, length)).code, "INVALID_BODY", `cut at ${length}`);
    }
  });

  test("mutated bytes are taken or refused, in bounded time, and never leave an unsound column", () => {
    const bodies = ["arrow-types.arrows", "arrow-types.arrow", "arrow-delta.arrows"].map(golden);
    const mutation = fc.record({
      at: fc.nat(),
      byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 })),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...bodies),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        (golden, mutations) => {
          const body = Uint8Array.from(golden);
          for (const { at, byte } of mutations) body[at % body.length] = byte;
          const target = newTarget({ earlierRows: 1 });
          isTaken(decodeArrow, body, target, ["INVALID_BODY", "UNSUPPORTED_MEDIA_TYPE", "BODY_TOO_LARGE"]);
          rowsOf(target);
        },
      ),
      propertyRuns(800),
    );
  });
});
