import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWindow } from "../../../src/shared/bytes/byte-window.js";
import { JsonScanner } from "../../../src/shared/bytes/json-scanner.js";
import { unescapeString } from "../../../src/shared/bytes/json-string.js";
import { propertyRuns } from "../../workers/decode/bulk-harness.js";

const scanner = new JsonScanner(new ByteWindow(64));

/** The end of the value that the text starts with, or -1. */
function scan(text: string | Uint8Array, depthMax = 64, newlineIsSpace = true): number {
  const bytes = Buffer.from(text);
  scanner.configure(depthMax, newlineIsSpace);
  scanner.source.load(bytes, 0, bytes.length);
  return scanner.skipValue(scanner.skipSpace(0));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whole text, white space at its end included. */
function accepts(text: string): boolean {
  const end = scan(text);
  return end >= 0 && scanner.skipSpace(end) === scanner.source.end;
}

test("every JSON value is walked over to its end", () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(3), (text, indent) => {
      const spaced = JSON.stringify(JSON.parse(text), null, indent);
      assert.equal(scan(spaced), Buffer.byteLength(spaced));
      assert.ok(!scanner.hasInvalidUtf8);
      assert.equal(scan(` \t\r\n${spaced} ,`), Buffer.byteLength(spaced) + 4);
    }),
    propertyRuns(500),
  );
});

test("a text that was tampered with is JSON exactly where JSON.parse says so", () => {
  const piece = fc.constantFrom(
    ...Array.from('{}[]:,"\\0123456789.-+eEtrufalsn \n\t\u0001é'),
    "null",
    "true",
    "false",
    "\\u00e9",
    "\\ud83d",
    "1e5",
    "-0.5",
    "01",
  );
  const edit = fc.record({ at: fc.nat(1_000), cut: fc.nat(3), piece: fc.oneof(piece, fc.constant("")) });
  fc.assert(
    fc.property(fc.json({ maxDepth: 3 }), fc.array(edit, { minLength: 1, maxLength: 3 }), (text, edits) => {
      let changed = text;
      for (const { at, cut, piece } of edits) {
        const place = at % (changed.length + 1);
        changed = (changed.slice(0, place) + piece + changed.slice(place + cut)).toWellFormed();
      }
      assert.equal(accepts(changed), isJson(changed), changed);
    }),
    propertyRuns(3_000),
  );
});

test("a text that is cut anywhere fails at the cut, or is a shorter number", () => {
  const text = ' { "a" : [ 1.5e+10 , -0 , true , false , null , "x\\n\\u00e9 é 😀" ] , "b" : { } , "c" : [ ] } ';
  const bytes = Buffer.from(text);
  for (let length = 0; length < bytes.length - 1; length++) {
    assert.equal(scan(bytes.subarray(0, length)), -1, `${length}`);
    assert.equal(scanner.failedAt, length);
    assert.match(scanner.failure(), /unexpected end/);
  }
  for (const whole of ["true", "false", "null", '"abc"', "[]", "{}", "-1"]) {
    for (let length = 0; length < whole.length; length++) {
      assert.equal(scan(whole.slice(0, length)), -1);
      assert.equal(scanner.failedAt, length, whole.slice(0, length));
    }
  }
});

test("where it fails, and what it says", () => {
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ["[1,]", 3, /unexpected "\]"/],
    ["[1 2]", 3, /unexpected "2"/],
    ['{"a" 1}', 5, /unexpected "1"/],
    ["{a:1}", 1, /unexpected "a"/],
    ['{"a":1,}', 7, /unexpected "}"/],
    ["[01]", 2, /unexpected "1"/],
    ["tru]", 3, /unexpected "\]"/],
    ['"a\u0001"', 2, /unexpected byte 0x01/],
    ['"a\\x"', 3, /unexpected "x"/],
    ['"\\u12g4"', 5, /unexpected "g"/],
    ["[1.e5]", 3, /unexpected "e"/],
    ["[1}", 2, /unexpected "}"/],
    ["[\0]", 1, /unexpected byte 0x00/],
  ];
  for (const [text, at, message] of cases) {
    assert.equal(scan(text), -1, text);
    assert.equal(scanner.failedAt, at, text);
    assert.match(scanner.failure(), message);
  }
});

test("nesting is followed to the limit and no further, however deep it goes on", () => {
  assert.equal(scan("[".repeat(5) + "]".repeat(5), 5), 10);
  assert.equal(scan('{"a":'.repeat(5) + "1" + "}".repeat(5), 5), 31);
  assert.equal(scan("[".repeat(6) + "]".repeat(6), 5), -1);
  assert.equal(scanner.failedAt, 5);
  assert.match(scanner.failure(), /nested deeper than 5 levels/);
  assert.equal(scan("[".repeat(10_000_000)), -1);
  assert.equal(scanner.failedAt, 64);
  // A later failure of another kind says what it is.
  assert.equal(scan("x"), -1);
  assert.match(scanner.failure(), /unexpected "x"/);
});

test("a line break is white space only where the caller says so", () => {
  assert.equal(scan("[1,\n2]"), 6);
  assert.equal(scan("[1,\n2]", 64, false), -1);
  assert.equal(scanner.failedAt, 3);
  assert.equal(scan("[1,\r 2]", 64, false), 7);
});

test("broken UTF-8 is noted where it is, and followed", () => {
  const text = (middle: Buffer): Buffer =>
    Buffer.concat([Buffer.from('["ok", {"a":"'), middle, Buffer.from('"}, "ok"]')]);
  for (const bytes of [[0xff], [0xc3], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0x80]]) {
    const body = text(Buffer.from(bytes));
    assert.equal(scan(body), body.length);
    assert.ok(scanner.hasInvalidUtf8);
  }
  assert.equal(scan(text(Buffer.from("é😀"))), text(Buffer.from("é😀")).length);
  assert.ok(!scanner.hasInvalidUtf8);
  const key = Buffer.concat([Buffer.from('{"'), Buffer.of(0xff), Buffer.from('":1}')]);
  assert.equal(scan(key), key.length);
  assert.ok(scanner.hasInvalidUtf8);
});

test("unescaping gives what JSON.parse gives, as UTF-8", () => {
  const escape = (text: string): string =>
    Array.from(text, (char) =>
      char < " " || char === '"' || char === "\\" || (char.codePointAt(0) as number) % 3 === 0
        ? Array.from(
            { length: char.length },
            (_, unit) => `\\u${char.charCodeAt(unit).toString(16).padStart(4, "0")}`,
          ).join("")
        : char,
    ).join("");
  const check = (inside: string): void => {
    const bytes = Buffer.from(inside);
    const target = new Uint8Array(bytes.length);
    const length = unescapeString(bytes, 0, bytes.length, target);
    const expected = (JSON.parse(`"${inside}"`) as string).toWellFormed();
    assert.equal(Buffer.from(target.subarray(0, length)).toString(), expected);
  };
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => check(escape(text.toWellFormed()))),
    propertyRuns(1_000),
  );
  for (const inside of [
    '\\"\\\\\\/\\b\\f\\n\\r\\t',
    "\\ud800",
    "\\udc00",
    "\\ud800\\ud800",
    "\\ud83d\\ude00",
    "\\ud83dx\\ude00",
    "\\ud83d\\n",
    "\\uD83D\\uDE00",
    "\\u0000",
    "\\ud83d\\ud83d\\ude00",
    "é\\u00e9",
  ]) {
    check(inside);
  }
});
