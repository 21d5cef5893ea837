import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { integerTooLarge, notAnInteger, readInteger } from "../../../src/shared/bytes/read-integer.js";
import { propertyRuns } from "../../workers/decode/bulk-harness.js";
import { joinHalves, windowOf } from "./windows.js";

const out = new Int32Array(6);

function assertRead(text: string): void {
  const value = BigInt(text);
  const end = readInteger(windowOf(`${text},`), 0, out, 2);
  if (BigInt.asIntN(64, value) !== value) {
    assert.equal(end, integerTooLarge, text);
  } else {
    assert.equal(end, text.length, text);
    assert.equal(joinHalves(out, 2), value);
  }
}

test("integers at the borders of every width", () => {
  const powers = [
    0n,
    1n,
    9n,
    10n,
    999_999_999n,
    1_000_000_000n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n,
    10n ** 18n,
    2n ** 63n,
    2n ** 64n,
    10n ** 19n,
    10n ** 30n,
  ];
  for (const power of powers) {
    for (let offset = -2n; offset <= 2n; offset++) {
      assertRead(String(power + offset));
      assertRead(String(-power + offset));
    }
  }
  assertRead("-0");
});

test("every 64-bit integer, and what is just too large for one", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => assertRead(String(value))),
    propertyRuns(5_000),
  );
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }), (value) => assertRead(String(value))),
    propertyRuns(2_000),
  );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => assertRead(String(value))),
    propertyRuns(2_000),
  );
});

test("fractions, exponents and what is no number are no integers", () => {
  for (const text of [
    "1.0",
    "1e5",
    "1E5",
    "-1.5",
    "12345678901234567890.5",
    "0e0",
    "",
    "-",
    "+1",
    "01",
    "-01",
    "00",
    "abc",
    '"1"',
    "null",
  ]) {
    assert.equal(readInteger(windowOf(text), 0, out, 0), notAnInteger, text);
  }
});

test("the reader stops behind the integer", () => {
  for (const behind of ["", ",", "}", " ", "x", "-"]) assert.equal(readInteger(windowOf(`42${behind}`), 0, out, 0), 2);
  assert.equal(readInteger(windowOf("-12345678901234567890123]", "5"), 1, out, 0), integerTooLarge);
  // The byte in front of an integer that is not its sign is not taken for one.
  assert.equal(readInteger(windowOf("1234567890123", "-"), 1, out, 0), 14);
});
