/** AES-GCM over many texts, against OpenSSL on one text at a time, both ways. */
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { test } from "node:test";
import { type GcmItems, GcmKey, itemExtraBytes, nonceBytes } from "../../../src/shared/encryption/gcm-key.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);

function randomBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.integer(256)));
}

/** Items of these lengths with random nonces and texts, and gaps of a few bytes between them. */
function itemsOf(texts: readonly number[]): GcmItems {
  const starts = new Int32Array(texts.length);
  let end = 0;
  for (const [item, length] of texts.entries()) {
    starts[item] = end + random.integer(3);
    end = (starts[item] ?? 0) + length + itemExtraBytes;
  }
  return { bytes: randomBytes(end), starts, lengths: Int32Array.from(texts), count: texts.length };
}

test("texts of all lengths around a block's", (context) => {
  context.diagnostic(`seed ${seed}`);
  const lengths = [...Array.from({ length: 70 }, (_, length) => length), 255, 256, 1_000, 4_099, 70_000];
  for (let round = 0; round < 4; round++) {
    const secret = randomBytes(32);
    const associated = randomBytes(16);
    const key = new GcmKey(secret, associated);
    const items = itemsOf(lengths);
    const plain = Buffer.from(items.bytes);
    key.encrypt(items);
    for (const [item, length] of lengths.entries()) {
      const start = items.starts[item] ?? 0;
      const text = start + nonceBytes;
      const cipher = createCipheriv("aes-256-gcm", secret, plain.subarray(start, text));
      cipher.setAAD(associated);
      const expected = Buffer.concat([cipher.update(plain.subarray(text, text + length)), cipher.final()]);
      const whole = Buffer.concat([expected, cipher.getAuthTag()]);
      assert.ok(whole.equals(items.bytes.subarray(text, text + length + 16)), `length ${length}, round ${round}`);
    }
    assert.equal(new GcmKey(secret, associated).decrypt(items), -1);
    for (const [item, length] of lengths.entries()) {
      const text = (items.starts[item] ?? 0) + nonceBytes;
      assert.ok(plain.subarray(text, text + length).equals(items.bytes.subarray(text, text + length)));
    }
  }
});

test("what OpenSSL encrypted is decrypted, and every changed bit is noticed", () => {
  const secret = randomBytes(32);
  const associated = randomBytes(16);
  const key = new GcmKey(secret, associated);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", secret, nonce);
  cipher.setAAD(associated);
  const sealed = Buffer.concat([nonce, cipher.update("alice@example.com"), cipher.final(), cipher.getAuthTag()]);
  const place = { starts: Int32Array.of(0), lengths: Int32Array.of(17), count: 1 };
  const copy = Buffer.from(sealed);
  assert.equal(key.decrypt({ bytes: copy, ...place }), -1);
  assert.equal(copy.toString("utf8", nonceBytes, nonceBytes + 17), "alice@example.com");
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Buffer.from(sealed);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(key.decrypt({ bytes: changed, ...place }), 0, `bit ${bit}`);
  }
  assert.equal(new GcmKey(secret, randomBytes(16)).decrypt({ bytes: Buffer.from(sealed), ...place }), 0);
});

test("the first item that is wrong is named, and OpenSSL refuses it too", () => {
  const secret = randomBytes(32);
  const key = new GcmKey(secret, Buffer.alloc(16));
  const items = itemsOf([5, 40, 0, 16]);
  key.encrypt(items);
  const third = items.starts[2] ?? 0;
  items.bytes[third + nonceBytes] = (items.bytes[third + nonceBytes] ?? 0) ^ 1;
  const decipher = createDecipheriv("aes-256-gcm", secret, items.bytes.subarray(third, third + nonceBytes));
  decipher.setAAD(Buffer.alloc(16));
  decipher.setAuthTag(items.bytes.subarray(third + nonceBytes, third + nonceBytes + 16));
  assert.throws(() => decipher.final());
  assert.equal(key.decrypt(items), 2);
});
