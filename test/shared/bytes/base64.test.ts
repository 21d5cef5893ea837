import assert from "node:assert/strict";
import { test } from "node:test";
import { base64Bytes, decodeBase64, encodeBase64 } from "../../../src/shared/bytes/base64.js";
import { seededRandom } from "../../harness/seeded-random.js";

test("bytes of all lengths are written and read as Node does it", (context) => {
  const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  for (let length = 1; length < 200; length++) {
    const bytes = Buffer.from(Array.from({ length: length + 2 }, () => random.integer(256)));
    const text = Buffer.alloc(base64Bytes(length) + 2);
    assert.equal(encodeBase64({ bytes, start: 2, length }, { bytes: text, at: 1 }), 1 + base64Bytes(length));
    assert.equal(text.toString("latin1", 1, 1 + base64Bytes(length)), bytes.toString("base64", 2));
    const back = Buffer.alloc(length + 1, 77);
    const source = { bytes: text, start: 1, length: base64Bytes(length) };
    assert.equal(decodeBase64(source, { bytes: back, at: 0 }), length);
    assert.ok(back.subarray(0, length).equals(bytes.subarray(2)) && back[length] === 77);
  }
});

test("what is no base64 is told", () => {
  const decode = (text: string): number => {
    const bytes = Buffer.from(text, "latin1");
    return decodeBase64({ bytes, start: 0, length: bytes.length }, { bytes: Buffer.alloc(64), at: 0 });
  };
  assert.deepEqual([decode("AAAA"), decode("AAA="), decode("AQ==")], [3, 2, 1]);
  for (const text of [
    "",
    "A",
    "AA=",
    "AAAAA",
    "AA-A",
    "A=AA",
    "=AAA",
    "AAA\u00e9",
    "A===",
    "AA==AAAA",
    "AAA A===",
    "AB==",
    "AAB=",
  ]) {
    assert.equal(decode(text), -1, text);
  }
});
