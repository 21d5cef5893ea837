import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { isValidUtf8, sequenceLength } from "../../../src/shared/bytes/utf8.js";
import { propertyRuns } from "../../workers/decode/bulk-harness.js";

test("every text is valid, and only its own part of the bytes counts", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(200), (text, padding) => {
      const bytes = Buffer.concat([
        Buffer.of(0xff),
        Buffer.from(text.toWellFormed() + "x".repeat(padding)),
        Buffer.of(0xff),
      ]);
      assert.ok(isValidUtf8(bytes, 1, bytes.length - 1));
      assert.ok(!isValidUtf8(bytes, 0, bytes.length - 1));
      assert.ok(!isValidUtf8(bytes, 1, bytes.length));
    }),
    propertyRuns(300),
  );
});

test("any bytes: the same answer as the platform's", () => {
  // Bytes that meet often in broken sequences, so that near misses are tried.
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 12 }), (values) => {
      const bytes = Uint8Array.from(values);
      assert.equal(isValidUtf8(bytes, 0, bytes.length), isUtf8(bytes));
      // The long way round, through the native check.
      const long = Buffer.concat([Buffer.alloc(100, 0x61), bytes]);
      assert.equal(isValidUtf8(long, 0, long.length), isUtf8(long));
    }),
    propertyRuns(5_000),
  );
});

test("every character has its length, and none when it is cut", () => {
  for (let code = 0x80; code <= 0x10ffff; code += code < 0x1000 ? 1 : 37) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const bytes = Buffer.from(String.fromCodePoint(code));
    assert.equal(sequenceLength(bytes, 0, bytes.length), bytes.length);
    assert.equal(sequenceLength(bytes, 0, bytes.length - 1), 0);
  }
});

test("surrogates, overlong forms and what is past U+10FFFF are broken", () => {
  const broken = [
    [0xed, 0xa0, 0x80],
    [0xed, 0xbf, 0xbf],
    [0xc0, 0x80],
    [0xc1, 0xbf],
    [0xe0, 0x80, 0x80],
    [0xe0, 0x9f, 0xbf],
    [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0xff],
    [0x80],
  ];
  for (const bytes of broken) assert.equal(sequenceLength(Uint8Array.from(bytes), 0, bytes.length), 0, String(bytes));
});
