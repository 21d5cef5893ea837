import assert from "node:assert/strict";
import { test } from "node:test";
import { keyedHash, newHashKey } from "../../../src/shared/bytes/keyed-hash.js";
import { collidingTexts, fnv1a } from "../../harness/colliding-texts.js";

/** `hsiphash` of the bytes 0, 1, 2 ... of each length, under the key of bytes 0 to 7: Linux's lib/test_siphash.c, 32 bits. */
const vectors = [
  0x5814_c896, 0xe7e8_64ca, 0xbc4b_0e30, 0x0153_9939, 0x7e05_9ea6, 0x88e3_d89b, 0xa008_0b65, 0x9d38_d9d6, 0x5779_99b1,
  0xc839_caed, 0xe4fa_32cf, 0x9592_46ee, 0x6b28_096c, 0x66dd_9cd6, 0x1665_8a7c, 0xd025_7b04, 0x8b31_d501, 0x2b1c_d04b,
];

test("the hash is HalfSipHash-1-3", () => {
  const key = { low: 0x0302_0100, high: 0x0706_0504 };
  for (const [length, expected] of vectors.entries()) {
    // Anywhere in its bytes, and blind to what lies beside.
    const bytes = Uint8Array.from({ length: length + 8 }, (_, at) => (at < 3 || at >= length + 3 ? 0xaa : at - 3));
    assert.equal(keyedHash(bytes, 3, length + 3, key) >>> 0, expected, `${length} bytes`);
  }
});

test("texts that were chosen to collide do not, and keys differ", () => {
  const texts = collidingTexts(10);
  assert.equal(new Set(texts.map((text) => fnv1a(text))).size, 1);
  const [one, other] = [newHashKey(), newHashKey()];
  assert.notDeepEqual(one, other);
  for (const key of [one, other]) {
    const hashes = new Set(texts.map((text) => keyedHash(Buffer.from(text), 0, text.length, key)));
    assert.ok(hashes.size > texts.length - 5, `${hashes.size} hashes of ${texts.length} texts`);
  }
});
