import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readDecimal } from "../../../src/shared/bytes/read-decimal.js";
import { propertyRuns } from "../../workers/decode/bulk-harness.js";
import { joinHalves, windowOf } from "./windows.js";

const out = new Float64Array(3);

/** What the reader makes of the text: its value where it takes all of it, else how much it takes. */
function read(text: string, behind = ","): number | string {
  const end = readDecimal(windowOf(text + behind), 0, out, 1);
  return end === text.length ? (out[1] as number) : `end ${end}`;
}

function assertSame(text: string): void {
  const expected = Number(text);
  const actual = read(text);
  if (Number.isFinite(expected)) assert.ok(Object.is(actual, expected), `${text} is ${expected}, not ${actual}`);
  else assert.equal(actual, "end -1", text);
}

test("plain numbers", () => {
  for (const text of ["0", "-0", "1", "-1", "12.34", "0.1", "-0.5", "100", "123456789", "1234567890", "0.000001"]) {
    assertSame(text);
  }
  for (const text of ["1e5", "1E5", "1e+5", "1e-5", "-1.5e-7", "0e0", "0.0e-0", "1e0", "12e00005"]) assertSame(text);
});

test("hard cases of decimal to binary conversion", () => {
  const cases = [
    "9007199254740993", "9007199254740992.5", "9007199254740993.0", "2.2250738585072011e-308", "2.2250738585072014e-308",
    "5e-324", "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623157e308",
    "1.7976931348623158e308", "1.7976931348623159e308", "1e308", "1e309", "1e-400", "1e400", "-1e400", "1e99999999999",
    "1e-99999999999", "0e99999999999", "123456789012345678", "1234567890123456789", "12345678901234567890", "18446744073709551616",
    "0.1234567890123456789012345", "8.98846567431158e307", "6.631236846766476e-316", "3.5844466002796428e298",
    "1090544144181609348671888949248", "7.3177701707893310e15", "1.00000000000000011102230246251565404236316680908203125",
    "1.00000000000000011102230246251565404236316680908203124", "1.00000000000000011102230246251565404236316680908203126",
  ]; // prettier-ignore
  for (const text of cases) assertSame(text);
  for (const text of cases) assertSame(`-${text}`);
});

test("every power of ten, and its neighbours", () => {
  for (let exponent = -330; exponent <= 310; exponent++) {
    for (const digits of ["1", "9.99999999999999999", "1.0000000000000002", "12345678901234567"]) {
      assertSame(`${digits}e${exponent}`);
    }
  }
});

test("every double that is printed is read back bit for bit", () => {
  const print = (value: number): void => {
    const texts = [String(value), value.toExponential(16), value.toPrecision(17), value.toExponential(18)];
    for (const text of texts) assertSame(text);
  };
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), print), propertyRuns(5_000));
});

test("every decimal is rounded as Number() rounds it", () => {
  const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 24 });
  const parts = fc.record({
    digits,
    point: fc.nat(24),
    exponent: fc.option(fc.integer({ min: -345, max: 330 })),
    minus: fc.boolean(),
  });
  fc.assert(
    fc.property(parts, ({ digits, point, exponent, minus }) => {
      const integer =
        digits
          .slice(0, point)
          .join("")
          .replace(/^0+(?=\d)/, "") || "0";
      const fraction = digits.slice(point).join("");
      const text = `${minus ? "-" : ""}${integer}${fraction === "" ? "" : `.${fraction}`}${exponent === null ? "" : `e${exponent}`}`;
      assertSame(text);
    }),
    propertyRuns(20_000),
  );
});

test("decimals next to the middle of two doubles are rounded right", () => {
  const bits = new BigUint64Array(1);
  const value = new Float64Array(bits.buffer);
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0x3c00_0000_0000_0000n, max: 0x4330_0000_0000_0000n }),
      fc.integer({ min: -3, max: 3 }),
      (low, offset) => {
        bits[0] = low;
        const below = exactDecimal(value[0] as number);
        bits[0] = low + 1n;
        const above = exactDecimal(value[0] as number);
        // 19 significant digits around the exact middle, which may be a tie itself.
        const scale = 10n ** 40n;
        const middle = (below + above) / 2n;
        const shift = BigInt(Math.max(0, middle.toString().length - 19));
        const text = `${middle / 10n ** shift + BigInt(offset)}e${shift - BigInt(scale.toString().length - 1)}`;
        assertSame(text);
      },
    ),
    propertyRuns(2_000),
  );
});

/** value × 10^40, cut to an integer. */
function exactDecimal(value: number): bigint {
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0] as bigint;
  const exponent = Number(bits >> 52n) - 1075;
  const mantissa = (bits & 0xf_ffff_ffff_ffffn) | 0x10_0000_0000_0000n;
  return exponent < 0 ? (mantissa * 10n ** 40n) >> BigInt(-exponent) : (mantissa * 10n ** 40n) << BigInt(exponent);
}

test("what is no JSON number is refused, whatever comes behind", () => {
  for (const text of [
    "",
    "-",
    "+1",
    ".5",
    "1.",
    "-.5",
    "01",
    "-01",
    "00",
    "00.5",
    "1e",
    "1e+",
    "1.e5",
    "1.5e",
    "abc",
    "NaN",
    "Infinity",
    "-Infinity",
    "--1",
    "0123456789012345678",
  ]) {
    assert.equal(readDecimal(windowOf(`${text},`), 0, out, 0), -1, text);
  }
  assert.equal(readDecimal(windowOf("-"), 0, out, 0), -1);
});

test("the reader stops behind the number and nowhere else", () => {
  for (const behind of [",", "}", " ", "", "x", "\0", "-"]) assert.equal(read("12.5", behind), 12.5);
  assert.equal(readDecimal(windowOf("1.5.5"), 0, out, 0), 3);
  assert.equal(readDecimal(windowOf("1e5.5"), 0, out, 0), 3);
  assert.equal(readDecimal(windowOf('1.25,"other":12345678'), 0, out, 0), 4);
  assert.equal(out[0], 1.25);
  const window = windowOf("-7.25]", "xxx");
  assert.equal(readDecimal(window, 3, out, 2), 8);
  assert.equal(out[2], -7.25);
});

test("a number of a million digits is read, not followed into the ground", () => {
  assertSame(`1${"0".repeat(1_000_000)}`);
  assertSame(`0.${"0".repeat(1_000_000)}1`);
  assertSame(`1.${"3".repeat(1_000_000)}`);
  assert.equal(joinHalves(Int32Array.of(-1, -1)), -1n);
});
