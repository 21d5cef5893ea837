import { crc32c } from "@node-rs/crc32";
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { crc32cBase64 } from "../../../src/shared/store/s3-checksum.js";
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

function base64Of(crc: number): string {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(crc);
  return word.toString("base64");
}

describe("CRC-32C, of a library", () => {
  test("gives the values of RFC 3720, appendix B.4", () => {
    const ascending = Uint8Array.from({ length: 32 }, (_value, index) => index);
    assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(ascending), 0x46dd794e);
    assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
    assert.equal(crc32c(new Uint8Array(0)), 0);
  });

  test("agrees with the definition at every length and offset, whole and in pieces, over shared memory too", () => {
    const seed = 3;
    const random = seededRandom(seed);
    const bytes = Uint8Array.from({ length: 300 }, () => random.integer(256));
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    for (let length = 0; length < 70; length++) {
      const part = bytes.subarray(length, length * 2 + 5);
      const says = `${length} (seed ${seed})`;
      assert.equal(crc32c(part), slowCrc32c(part), says);
      assert.equal(crc32cBase64(part), base64Of(slowCrc32c(part)), says);
      assert.equal(crc32c(shared.subarray(length, length * 2 + 5)), slowCrc32c(part), says);
      const cut = random.integer(part.length + 1);
      assert.equal(
        crc32c(part.subarray(cut), crc32c(part.subarray(0, cut))),
        slowCrc32c(part),
        `${says}, cut at ${cut}`,
      );
    }
  });

  test("the header's form is base64 of the big-endian word", () => {
    assert.equal(crc32cBase64(Buffer.from("123456789")), "4waSgw==");
    // Leading zeros stay.
    assert.equal(crc32cBase64(new Uint8Array(0)), "AAAAAA==");
  });

  test("loads in worker threads, several at once, and again after one has ended", async () => {
    const text = `
      const { parentPort } = require("node:worker_threads");
      parentPort.postMessage(require("@node-rs/crc32").crc32c(Buffer.from("123456789")));`;
    for (let round = 0; round < 2; round++) {
      const workers = Array.from({ length: 3 }, () => new Worker(text, { eval: true }));
      const answers = workers.map(async (worker) => (await once(worker, "message"))[0] as unknown);
      assert.deepEqual(await Promise.all(answers), [0xe3069283, 0xe3069283, 0xe3069283]);
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});
