import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32c, crc32cBase64 } from "../../../src/shared/bytes/crc32c.js";
import { seededRandom } from "../../harness/seeded-random.js";

/** Bit by bit, as the definition has it. */
function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

describe("CRC-32C", () => {
  test("gives the values of RFC 3720, appendix B.4", () => {
    const ascending = Uint8Array.from({ length: 32 }, (_value, index) => index);
    assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(ascending), 0x46dd794e);
    assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
    assert.equal(crc32c(new Uint8Array(0)), 0);
    assert.equal(crc32cBase64(Buffer.from("123456789")), "4waSgw==");
  });

  test("agrees with the definition at every length and offset", () => {
    const seed = 3;
    const random = seededRandom(seed);
    const bytes = Uint8Array.from({ length: 300 }, () => random.integer(256));
    for (let length = 0; length < 70; length++) {
      const part = bytes.subarray(length, length * 2 + 5);
      assert.equal(crc32c(part), slowCrc32c(part), `${length} (seed ${seed})`);
    }
  });
});
