import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeBound,
  encodeDay,
  encodeLowerBound,
  encodeUpperBound,
} from "../../../src/shared/iceberg/single-value.js";

const hex = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("hex"));

describe("single values", () => {
  test("have the bytes of the specification's appendix D", () => {
    assert.equal(hex(encodeLowerBound("boolean", true)), "01");
    assert.equal(hex(encodeLowerBound("boolean", false)), "00");
    assert.equal(hex(encodeLowerBound("long", "34")), "2200000000000000");
    assert.equal(hex(encodeLowerBound("long", "-1")), "ffffffffffffffff");
    assert.equal(hex(encodeUpperBound("long", "9223372036854775807")), "ffffffffffffff7f");
    assert.equal(hex(encodeLowerBound("timestamp", "1510871468000001")), "01c3262d215e0500");
    assert.equal(hex(encodeLowerBound("double", 22.54)), "0ad7a3703d8a3640");
    assert.equal(hex(encodeLowerBound("string", "ABC")), "414243");
    assert.equal(hex(encodeDay(17_486)), "4e440000");
    assert.equal(hex(encodeDay(-1)), "ffffffff");
  });

  test("zeros reach over both signs, NaN and infinities bound as they should", () => {
    assert.equal(hex(encodeLowerBound("double", 0)), "0000000000000080");
    assert.equal(hex(encodeUpperBound("double", -0)), "0000000000000000");
    assert.equal(encodeLowerBound("double", Number.NaN), null);
    assert.equal(encodeUpperBound("double", Number.NaN), null);
    const infinity = encodeUpperBound("double", Number.POSITIVE_INFINITY);
    assert.ok(infinity !== null);
    assert.equal(decodeBound("double", infinity), Number.POSITIVE_INFINITY);
  });

  test("text is cut to 16 code points, an upper bound rounded up", () => {
    const text = (value: string, side: typeof encodeLowerBound) => {
      const bytes = side("string", value);
      return bytes === null ? null : decodeBound("string", bytes);
    };
    assert.equal(text("exactly 16 chars", encodeUpperBound), "exactly 16 chars");
    assert.equal(text("more than 16 characters", encodeLowerBound), "more than 16 cha");
    assert.equal(text("more than 16 characters", encodeUpperBound), "more than 16 chb");
    assert.equal(text("🙂".repeat(17), encodeLowerBound), "🙂".repeat(16));
    assert.equal(text("🙂".repeat(16), encodeUpperBound), "🙂".repeat(16));
    assert.equal(text(`${"a".repeat(15)}\uD7FFx`, encodeUpperBound), `${"a".repeat(15)}\uE000`);
    assert.equal(text(`${"a".repeat(15)}\u{10FFFF}x`, encodeUpperBound), `${"a".repeat(14)}b`);
    assert.equal(text("\u{10FFFF}".repeat(17), encodeUpperBound), null);
  });

  test("bounds of text enclose it, by bytes, for any text", () => {
    const unit = fc.constantFrom(
      "a",
      "z",
      "\u0000",
      "ÿ",
      "\uD7FF",
      "\uE000",
      "\uFFFF",
      "\u{10000}",
      "\u{10FFFF}",
      "🙂",
    );
    fc.assert(
      fc.property(fc.string({ unit, minLength: 0, maxLength: 24 }), (value) => {
        const bytes = Buffer.from(value);
        const lower = encodeLowerBound("string", value);
        const upper = encodeUpperBound("string", value);
        assert.ok(lower !== null && Buffer.compare(lower, bytes) <= 0);
        assert.ok(Array.from(lower.toString()).length <= 16);
        if (upper !== null) assert.ok(Buffer.compare(upper, bytes) >= 0, JSON.stringify(value));
        else assert.ok(value.startsWith("\u{10FFFF}".repeat(16)));
      }),
      { seed: 4, numRuns: 2_000 },
    );
  });

  test("any value comes back", () => {
    const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
    fc.assert(
      fc.property(
        long,
        fc.double({ noNaN: true }).filter((value) => value !== 0),
        fc.boolean(),
        (big, double, flag) => {
          for (const [type, value] of [
            ["long", big],
            ["timestamp", big],
            ["double", double],
            ["boolean", flag],
          ] as const) {
            for (const encode of [encodeLowerBound, encodeUpperBound]) {
              const bytes = encode(type, value);
              assert.ok(bytes !== null);
              assert.equal(decodeBound(type, bytes), value);
            }
          }
        },
      ),
      { seed: 5, numRuns: 300 },
    );
  });

  test("bounds of a promoted type read, damaged ones do not", () => {
    assert.equal(decodeBound("long", Buffer.from("fbffffff", "hex")), "-5");
    assert.equal(decodeBound("double", Buffer.from("0000c03f", "hex")), 1.5);
    const types = ["long", "double", "boolean", "timestamp"] as const;
    for (const type of types) assert.equal(decodeBound(type, Buffer.alloc(3)), null);
  });

  test("a value of another type is a mistake", () => {
    assert.throws(() => encodeLowerBound("long", 5), /decimal text/);
    assert.throws(() => encodeLowerBound("double", "5"), /number/);
    assert.throws(() => encodeUpperBound("string", true), /text/);
  });
});
