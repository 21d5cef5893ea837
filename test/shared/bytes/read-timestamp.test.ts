import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  invalidTimestamp,
  readEpoch,
  readTimestampText,
  timestampOutOfRange,
} from "../../../src/shared/bytes/read-timestamp.js";
import { propertyRuns } from "../../workers/decode/bulk-harness.js";
import { joinHalves, windowOf } from "./windows.js";

const out = new Int32Array(4);
const yearOneMs = -62_135_596_800_000;
const lastMs = 253_402_300_799_999;

/** µs, or the refusal. */
function readText(text: string): bigint | number {
  const end = readTimestampText(windowOf(`${text}"`), 0, out, 1);
  return end === text.length ? joinHalves(out, 1) : end;
}

function readNumber(text: string): bigint | number {
  const end = readEpoch(windowOf(`${text},`), 0, out, 1);
  return end === text.length ? joinHalves(out, 1) : end;
}

test("the usual forms", () => {
  const noon = BigInt(Date.UTC(2026, 10, 22, 12, 0, 0)) * 1000n;
  assert.equal(readText("2026-11-22T12:00:00Z"), noon);
  assert.equal(readText("2026-11-22T12:00:00.5Z"), noon + 500_000n);
  assert.equal(readText("2026-11-22T12:00:00.123456Z"), noon + 123_456n);
  assert.equal(readText("2026-11-22T12:00:00.123456789Z"), noon + 123_456n);
  assert.equal(readText("2026-11-22T12:00:00.000000999999Z"), noon);
  assert.equal(readText("2026-11-22T14:00:00+02:00"), noon);
  assert.equal(readText("2026-11-22T06:30:00.25-05:30"), noon + 250_000n);
  assert.equal(readText("2026-11-22T12:00:00-00:00"), noon);
  assert.equal(readText("2026-11-22t12:00:00z"), noon);
  assert.equal(readText("2026-11-22 12:00:00Z"), noon);
  assert.equal(readText("2016-12-31T23:59:60Z"), BigInt(Date.UTC(2017, 0, 1)) * 1000n);
});

test("the first and the last moment, and one step past them", () => {
  assert.equal(readText("0001-01-01T00:00:00Z"), BigInt(yearOneMs) * 1000n);
  assert.equal(readText("9999-12-31T23:59:59.999999Z"), BigInt(lastMs) * 1000n + 999n);
  assert.equal(readText("0001-01-01T00:00:00+00:01"), timestampOutOfRange);
  assert.equal(readText("9999-12-31T23:59:00-00:01"), timestampOutOfRange);
  assert.equal(readText("9999-12-31T23:59:60Z"), timestampOutOfRange);
  assert.equal(readText("0000-12-31T23:59:59Z"), timestampOutOfRange);
  assert.equal(readText("0000-12-31T23:59:59-12:00"), timestampOutOfRange);
});

test("every millisecond reads as Date reads it, in any order", () => {
  const moment = fc.record({ ms: fc.integer({ min: yearOneMs, max: lastMs }), near: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(moment, { minLength: 1, maxLength: 5 }), (moments) => {
      for (const { ms, near } of moments) {
        // The second is often in the same minute as the first: the remembered minute must not leak.
        for (const each of [ms, Math.min(ms + near, lastMs)]) {
          assert.equal(readText(new Date(each).toISOString()), BigInt(each) * 1000n);
        }
      }
    }),
    propertyRuns(5_000),
  );
});

test("every day of four centuries", () => {
  for (let ms = Date.UTC(1899, 0, 1); ms < Date.UTC(2300, 0, 1); ms += 86_400_000) {
    assert.equal(readText(new Date(ms).toISOString()), BigInt(ms) * 1000n);
  }
});

test("offsets read as Date reads them", () => {
  const two = (value: number): string => String(value).padStart(2, "0");
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4e12 }),
      fc.nat(23),
      fc.nat(59),
      fc.boolean(),
      (ms, hours, minutes, minus) => {
        const text = new Date(ms).toISOString().replace("Z", `${minus ? "-" : "+"}${two(hours)}:${two(minutes)}`);
        assert.equal(readText(text), BigInt(Date.parse(text)) * 1000n);
      },
    ),
    propertyRuns(1_000),
  );
});

test("what is no timestamp is refused", () => {
  const wrong = [
    "", "2026", "2026-11-22", "2026-11-22T12:00:00", "2026-11-22T12:00Z", "2026-11-22T12:00:00.Z", "2026-11-22T12:00:00,5Z",
    "2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-11-22T12:00:61Z", "2026-11-22T12:00:70Z", "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z", "2026-11-22T12:00:00+2:00", "2026-11-22T12:00:00+0200", "2026-11-22T12:00:00+24:00",
    "2026-11-22T12:00:00+02:60", "2026-11-22T12:00:00*02:00", "2026/11/22T12:00:00Z", "2026-11-22X12:00:00Z", "-026-11-22T12:00:00Z",
    "26-11-22T12:00:00Z", "2026-11-22T1a:00:00Z", "2026-11-22T12:0a:00Z", "2026-11-22T12:00:0aZ", "2026-11-2aT12:00:00Z", "now",
  ]; // prettier-ignore
  for (const text of wrong) assert.equal(readText(text), invalidTimestamp, text);
  assert.equal(readText("2000-02-29T00:00:00Z"), BigInt(Date.UTC(2000, 1, 29)) * 1000n);
  // What follows the zone is the caller's to judge: here it is not the end.
  assert.equal(readText("2026-11-22T12:00:00Zz"), 20);
});

test("a refused minute is not remembered", () => {
  assert.equal(readText("2026-02-30T00:00:00Z"), invalidTimestamp);
  assert.equal(readText("2026-02-30T00:00:00Z"), invalidTimestamp);
});

test("epoch numbers: the number of digits tells the unit", () => {
  assert.equal(readNumber("0"), 0n);
  assert.equal(readNumber("-0"), 0n);
  assert.equal(readNumber("1795000000"), 1_795_000_000_000_000n);
  assert.equal(readNumber("1795000000123"), 1_795_000_000_123_000n);
  assert.equal(readNumber("1795000000123456"), 1_795_000_000_123_456n);
  assert.equal(readNumber("1795000000123456789"), 1_795_000_000_123_456n);
  assert.equal(readNumber("99999999999"), 99_999_999_999_000_000n);
  assert.equal(readNumber("100000000000"), 100_000_000_000_000n);
  assert.equal(readNumber("-1"), -1_000_000n);
  assert.equal(readNumber("-1795000000123"), -1_795_000_000_123_000n);
  // Rounded down, as the fraction of a text is.
  assert.equal(readNumber("-1795000000123456001"), -1_795_000_000_123_457n);
  assert.equal(readNumber("-1795000000123456000"), -1_795_000_000_123_456n);
});

test("epoch numbers with a fraction or an exponent", () => {
  assert.equal(readNumber("1795000000.5"), 1_795_000_000_500_000n);
  assert.equal(readNumber("1795000000.1234567"), 1_795_000_000_123_456n);
  assert.equal(readNumber("1795000000123.25"), 1_795_000_000_123_250n);
  assert.equal(readNumber("1795000000123456.9"), 1_795_000_000_123_456n);
  assert.equal(readNumber("-0.5"), -500_000n);
  assert.equal(readNumber("-0.0000001"), -1n);
  assert.equal(readNumber("-0.9999999"), -1_000_000n);
  assert.equal(readNumber("1.795e9"), 1_795_000_000_000_000n);
  assert.equal(readNumber("1.7950000005e9"), 1_795_000_000_500_000n);
  assert.equal(readNumber("1795E+6"), 1_795_000_000_000_000n);
  assert.equal(readNumber("1.795000000123e12"), 1_795_000_000_123_000n);
});

test("epoch numbers that are no time", () => {
  assert.equal(readNumber("12345678901234567890"), timestampOutOfRange);
  assert.equal(readNumber("1e19"), timestampOutOfRange);
  assert.equal(readNumber("1e300"), timestampOutOfRange);
  assert.equal(readNumber("-99999999999"), timestampOutOfRange);
  const wrong = ["", "-", "01", "1.", "1e", "1e999", "x", ".5", "+1"];
  for (const text of wrong) assert.equal(readNumber(text), invalidTimestamp, text);
});

test("epoch numbers of every unit agree with Date", () => {
  // From 1973-03-03 to the end of 2261: before, milliseconds have too few digits; after, nanoseconds too many bits.
  const ms = fc.integer({ min: 100_000_000_000, max: 9_214_646_400_000 });
  fc.assert(
    fc.property(ms, fc.nat(999_999), (value, nanos) => {
      const micros = BigInt(value) * 1000n;
      assert.equal(readNumber(String(value)), micros);
      assert.equal(readNumber(`${value}000`), micros);
      assert.equal(readNumber(`${value}${String(nanos).padStart(6, "0")}`), micros + BigInt(Math.floor(nanos / 1000)));
      assert.equal(readNumber(String(Math.floor(value / 1000))), (micros / 1_000_000n) * 1_000_000n);
      assert.equal(readText(new Date(value).toISOString()), micros);
    }),
    propertyRuns(3_000),
  );
});
