import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as zlib from "node:zlib";
import { MiniodbError } from "../../../src/shared/errors.js";
import { frameEncodings } from "../../../src/shared/ring/frame.js";
import { inflate } from "../../../src/workers/decode/inflate.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { shared } from "./bulk-harness.js";

const mib = 1024 * 1024;
const plain = Buffer.from("a row of text, ".repeat(10_000));

const corruptionRounds = 300 * Number(process.env["MINIODB_TEST_ROUNDS"] ?? "1");

/** The types at hand are those of Node 20. */
const { zstdCompressSync } = zlib as { readonly zstdCompressSync?: (body: Uint8Array, options?: object) => Buffer };

function refusal(body: Uint8Array, encoding: number, inflatedBytesMax = mib): MiniodbError {
  try {
    inflate(body, encoding, inflatedBytesMax);
  } catch (error) {
    if (error instanceof MiniodbError) return error;
    throw error;
  }
  assert.fail("the body is not refused");
}

test("identity is the body itself; an encoding that does not exist is refused", () => {
  assert.equal(inflate(plain, frameEncodings.identity, 1), plain);
  assert.equal(refusal(plain, 77).code, "UNSUPPORTED_MEDIA_TYPE");
});

/** The same for both encodings. */
function suite(encoding: number, compress: (body: Uint8Array) => Buffer): void {
  test("what was compressed comes back, from shared memory too, up to exactly the bound", () => {
    const body = compress(plain);
    assert.deepEqual(Buffer.from(inflate(body, encoding, plain.length)), plain);
    assert.deepEqual(Buffer.from(inflate(shared(body), encoding, mib)), plain);
    assert.equal(inflate(compress(Buffer.alloc(0)), encoding, mib).length, 0);
  });

  test("one byte above the bound is too large", () => {
    const error = refusal(compress(plain), encoding, plain.length - 1);
    assert.equal(error.code, "BODY_TOO_LARGE");
    assert.equal(error.details["limitBytes"], plain.length - 1);
  });

  test("a bomb allocates no more than about the bound", () => {
    const bomb = compress(Buffer.alloc(256 * mib));
    const before = process.memoryUsage();
    const start = process.hrtime.bigint();
    assert.equal(refusal(bomb, encoding, 4 * mib).code, "BODY_TOO_LARGE");
    const after = process.memoryUsage();
    assert.ok(after.arrayBuffers - before.arrayBuffers < 16 * mib, "twice the bound and the window");
    assert.ok(process.hrtime.bigint() - start < 2_000_000_000n);
  });

  test("several streams in one body are one after the other; the bound is on all of them", () => {
    const body = Buffer.concat([compress(plain), compress(Buffer.from("and more")), compress(Buffer.alloc(0))]);
    assert.equal(Buffer.from(inflate(body, encoding, mib)).toString(), `${plain.toString()}and more`);
    assert.equal(refusal(body, encoding, plain.length + 7).code, "BODY_TOO_LARGE");
    assert.equal(refusal(body, encoding, plain.length).code, "BODY_TOO_LARGE");
  });

  test("nothing, a cut at any byte, bytes behind the end", () => {
    const body = compress(plain.subarray(0, 600));
    for (let length = 0; length < body.length; length++) {
      assert.equal(refusal(body.subarray(0, length), encoding).code, "INVALID_BODY", `cut at ${length}`);
    }
    assert.equal(refusal(Buffer.concat([body, Buffer.from("garbage")]), encoding).code, "INVALID_BODY");
    assert.equal(refusal(Buffer.concat([body, Buffer.alloc(20)]), encoding).code, "INVALID_BODY");
  });

  test("corrupted bytes are refused or give bytes within the bound; nothing else happens", () => {
    const random = seededRandom(20261122);
    const body = compress(plain);
    for (let round = 0; round < corruptionRounds; round++) {
      const corrupt = Buffer.from(body);
      corrupt[random.integer(corrupt.length)] = random.integer(256);
      try {
        assert.ok(inflate(corrupt, encoding, mib).length <= mib);
      } catch (error) {
        assert.ok(
          error instanceof MiniodbError && ["INVALID_BODY", "BODY_TOO_LARGE"].includes(error.code),
          String(error),
        );
      }
    }
  });
}

describe("gzip", () => suite(frameEncodings.gzip, (body) => zlib.gzipSync(body)));

if (zstdCompressSync === undefined) {
  test("zstd is refused on a Node that has none, with the way out", () => {
    const error = refusal(plain, frameEncodings.zstd);
    assert.equal(error.code, "UNSUPPORTED_MEDIA_TYPE");
    assert.match(error.message, /gzip/);
  });
} else {
  describe("zstd", () => {
    suite(frameEncodings.zstd, (body) => zstdCompressSync(body));

    test("a frame that wants a window larger than the bound needs is refused before it is allocated", () => {
      const windowLogParameter = 101;
      const body = zstdCompressSync(Buffer.alloc(100 * mib, "abcd"), { params: { [windowLogParameter]: 27 } });
      assert.equal(refusal(body, frameEncodings.zstd, mib).code, "BODY_TOO_LARGE");
    });

    test("thousands of empty frames are refused, not walked", () => {
      const empty = zstdCompressSync(Buffer.alloc(0));
      const body = Buffer.concat(Array.from({ length: 2_000 }, () => empty));
      assert.equal(refusal(body, frameEncodings.zstd).code, "INVALID_BODY");
    });
  });
}
