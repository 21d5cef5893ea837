import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJsonArray } from "../../../src/workers/decode/decode-json-array.js";
import { codesOf, decodeAll, newTarget, payloadsOf, refusal, rowsOf, shared, valuesOf } from "./bulk-harness.js";
import { decodeText } from "./json-samples.js";

test("rows of an array, however it is laid out", () => {
  const rows = [{ x: 1, s: "a" }, { s: "b" }, {}, { x: 4, s: "d", j: { k: [1, 2] } }];
  const expected = [{ x: 1n, s: "a" }, { s: "b" }, {}, { x: 4n, s: "d", j: { k: [1, 2] } }];
  for (const text of [
    JSON.stringify(rows),
    JSON.stringify(rows, null, 2),
    JSON.stringify(rows, null, "\t\r\n "),
    ` \n${JSON.stringify(rows).replaceAll(",", " , ")}\r\n `,
    `\ufeff${JSON.stringify(rows)}`,
  ]) {
    const { target } = decodeText(decodeJsonArray, text);
    assert.deepEqual(payloadsOf(target), expected, text);
  }
});

test("an object alone is one row, an empty array none", () => {
  assert.deepEqual(valuesOf(decodeText(decodeJsonArray, ' {"x":1} ').target), [1n]);
  for (const text of ["[]", " [ \n ] "]) assert.equal(decodeText(decodeJsonArray, text).target.account.rows, 0);
});

test("an element that is no object is rejected alone", () => {
  const { target } = decodeText(decodeJsonArray, '[1, {"x":1}, null, "a", [{"x":2}], true, {"x":3}, -1.5e3]');
  assert.deepEqual(
    codesOf(target),
    [0, 2, 3, 4, 5, 7].map((row) => [row, null, "INVALID_ROW"]),
  );
  assert.deepEqual(valuesOf(target), [1n, 3n]);
});

test("a value that does not fit rejects its row alone", () => {
  const { target } = decodeText(decodeJsonArray, '[{"x":1},{"x":"a","y":1},{"x":2}]');
  assert.deepEqual(codesOf(target), [[1, "x", "TYPE_MISMATCH"]]);
  assert.deepEqual(payloadsOf(target), [{ x: 1n }, { x: 2n }]);
});

test("a body that is not JSON is refused whole, with the position", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["", 0], ["  ", 2], ["1", 0], ['"a"', 0], ["null", 0], ["[", 1], ["]", 0], ["[,]", 1], ["[{}", 3], ["[{},", 4], ["[{},]", 4], ["[{}}", 3],
    ["[{}{}]", 3], ["[{}] x", 5], ["[{}][]", 4], ["{} {}", 3], ["{},", 2], ["[{]", 2], ['[{"x":01}]', 7], ['[{"x":1},{"x":}]', 14],
    ['[{"x":1},2x]', 10], ["[tru]", 4], ['[{"x":"a\nb"}]', 8], ["[{}\0]", 3], ["\0", 0],
  ]; // prettier-ignore
  for (const [text, position] of cases) {
    const target = newTarget({ earlierRows: 2 });
    const error = refusal(decodeJsonArray, Buffer.from(text), target);
    assert.equal(error.code, "INVALID_BODY", text);
    assert.deepEqual(error.details, { position }, text);
    assert.match(error.message, new RegExp(`not valid JSON at byte ${position}: unexpected`), text);
    assert.equal(target.builder.rowCount, 2, "nothing of it stays");
  }
});

test("an array that is cut anywhere is refused", () => {
  const text = '[{"x":1,"s":"é\\n","d":-1.5e10,"b":true,"j":{"a":[1,null]}},{"x":2}, 3 ]';
  const bytes = Buffer.from(text);
  for (let length = 0; length < bytes.length; length++) {
    const error = refusal(decodeJsonArray, bytes.subarray(0, length));
    assert.deepEqual([error.code, error.details], ["INVALID_BODY", { position: length }], text.slice(0, length));
  }
});

test("rows that cross windows, and rows larger than one", () => {
  const rows = Array.from({ length: 4_000 }, (_, row) => ({ x: row, s: `text ${row} `.repeat(row % 5), d: row / 8 }));
  const long = { x: -1, s: "é".repeat(300_000), d: 0.5 };
  const body = Buffer.from(JSON.stringify([...rows.slice(0, 1_000), long, ...rows.slice(1_000), long], null, 1));
  const whole = newTarget();
  decodeAll(decodeJsonArray, body, whole);
  assert.equal(whole.account.accepted, 4_002);
  const expected = rowsOf(whole);
  assert.equal(expected[1_000]?.["s"], long.s);
  assert.equal(expected[2_000]?.["x"], 1_999n);
  for (const sliceBytes of [1, 70_000, 300_000]) {
    const target = newTarget();
    decodeAll(decodeJsonArray, shared(body), target, sliceBytes);
    assert.deepEqual(rowsOf(target), expected);
  }
});

test("a position is one of the body, not of the window", () => {
  const good = `{"x":1,"s":"${"a".repeat(1_000)}"}`;
  const text = `[${`${good},`.repeat(500)}{"x":?}]`;
  const error = refusal(decodeJsonArray, Buffer.from(text), newTarget());
  assert.deepEqual(error.details, { position: text.indexOf("?") });
});

test("scalars and blanks at the end of a window are not taken for whole ones", () => {
  // One byte more each time, so that the window ends at every byte of the number.
  for (let padding = 65_500; padding < 65_545; padding++) {
    const { target } = decodeText(decodeJsonArray, `[${" ".repeat(padding)} 1234567890123456789012345 , {"x":1} ]`);
    assert.deepEqual([target.account.accepted, target.account.rejected], [1, 1]);
  }
});
