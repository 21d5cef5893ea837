import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { xxhash64 } from "../../../src/workers/persist/xxhash64.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

const [p1, p2, p3, p4, p5] = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
] as const;
const cut = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotate = (value: bigint, bits: bigint): bigint => cut((value << bits) | (value >> (64n - bits)));
const round = (lane: bigint, input: bigint): bigint => cut(rotate(cut(lane + input * p2), 31n) * p1);

/** The specification once more, with BigInt. */
function reference(bytes: Buffer): bigint {
  let at = 0;
  let hash: bigint;
  if (bytes.length >= 32) {
    const lanes = [cut(p1 + p2), p2, 0n, cut(-p1)];
    for (; at + 32 <= bytes.length; at += 32) {
      for (const [lane, value] of lanes.entries()) lanes[lane] = round(value, bytes.readBigUInt64LE(at + lane * 8));
    }
    const [a, b, c, d] = lanes as [bigint, bigint, bigint, bigint];
    hash = cut(rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n));
    for (const lane of lanes) hash = cut((hash ^ round(0n, lane)) * p1 + p4);
  } else hash = p5;
  hash = cut(hash + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = cut(rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * p1 + p4);
  }
  if (at + 4 <= bytes.length) {
    hash = cut(rotate(hash ^ cut(BigInt(bytes.readUInt32LE(at)) * p1), 23n) * p2 + p3);
    at += 4;
  }
  for (; at < bytes.length; at++) hash = cut(rotate(hash ^ cut(BigInt(bytes.readUInt8(at)) * p5), 11n) * p1);
  hash = cut((hash ^ (hash >> 33n)) * p2);
  hash = cut((hash ^ (hash >> 29n)) * p3);
  return hash ^ (hash >> 32n);
}

function hashOf(bytes: Buffer, start = 0, end = bytes.length): bigint {
  const { low, high } = xxhash64(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), start, end);
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

describe(`XXH64 (MINIODB_TEST_SEED=${seed})`, () => {
  test("published values", () => {
    const known: readonly (readonly [string, bigint])[] = [
      ["", 0xef46db3751d8e999n],
      ["a", 0xd24ec4f1a98c6e5bn],
      ["abc", 0x44bc2cf5ad770999n],
      ["Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1n],
    ];
    for (const [text, hash] of known) assert.equal(hashOf(Buffer.from(text)), hash, text);
  });

  test("of every length, wherever the bytes lie", () => {
    const random = seededRandom(seed);
    const bytes = Buffer.from(Array.from({ length: 300 }, () => random.integer(256)));
    for (let length = 0; length <= 150; length++) {
      const start = random.integer(150);
      const end = start + length;
      assert.equal(hashOf(bytes, start, end), reference(bytes.subarray(start, end)), `${length} bytes at ${start}`);
    }
    assert.equal(hashOf(Buffer.alloc(40, 0xff)), reference(Buffer.alloc(40, 0xff)));
  });
});
