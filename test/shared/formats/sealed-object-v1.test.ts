import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import {
  openBytes,
  openFile,
  plainBytesOf,
  sealBytes,
  sealedBytes,
  sealFile,
  sealingKey,
} from "../../../src/shared/formats/sealed-object-v1.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { seededRandom } from "../../harness/seeded-random.js";

const mib = 1024 * 1024;
const key = sealingKey(Buffer.alloc(32, 7));
const name = "t-1/data/file.parquet";

function unusable(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MiniodbError && error.code === "BACKUP_UNUSABLE", String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

test("the bytes of version 1 stay as they are (golden file)", () => {
  const plain = Buffer.from("rows that nobody else may read");
  const sealed = sealBytes(plain, key, name, Buffer.alloc(16, 3));
  const path = join(repositoryRoot, "test/golden/sealed-object-v1.bin");
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, sealed);
  assert.deepEqual(Buffer.from(sealed), readFileSync(path));
  assert.deepEqual(openBytes(readFileSync(path), key, name), plain);
});

test("objects of all lengths around a frame's come back, from memory and from files", (context) => {
  const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), "miniodb-seal-"));
  const paths = ["plain", "sealed", "opened"].map((file) => join(folder, file));
  const [plainPath = "", sealedPath = "", openedPath = ""] = paths;
  try {
    for (const length of [0, 1, mib - 1, mib, mib + 1, 2 * mib, random.integer(3 * mib)]) {
      const plain = Buffer.alloc(length, random.integer(256));
      const sealed = sealBytes(plain, key, name);
      assert.equal(sealed.length, sealedBytes(length));
      assert.equal(plainBytesOf(sealed.length), length);
      assert.ok(Buffer.from(openBytes(sealed, key, name)).equals(plain));
      writeFileSync(plainPath, plain);
      sealFile(plainPath, sealedPath, key, name);
      openFile(sealedPath, openedPath, key, name);
      assert.ok(readFileSync(openedPath).equals(plain));
      assert.ok(Buffer.from(openBytes(readFileSync(sealedPath), key, name)).equals(plain));
      for (const path of paths) rmSync(path);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("every byte counts, and so do the order of frames, their number and the name", () => {
  const stored = mib + 16;
  const plain = Buffer.concat([Buffer.alloc(mib, 1), Buffer.alloc(mib, 2), Buffer.alloc(10, 3)]);
  const sealed = Buffer.from(sealBytes(plain, key, name));
  const frame = (index: number): Buffer => sealed.subarray(36 + index * stored, 36 + (index + 1) * stored);
  const header = sealed.subarray(0, 36);
  const others: Readonly<Record<string, Buffer>> = {
    "cut at a frame": sealed.subarray(0, 36 + stored),
    "cut at the second": sealed.subarray(0, 36 + 2 * stored),
    "cut inside": sealed.subarray(0, 36 + stored + 5),
    "cut in the header": sealed.subarray(0, 20),
    "nothing but the header": header,
    "a byte more": Buffer.concat([sealed, Buffer.of(0)]),
    reordered: Buffer.concat([header, frame(1), frame(0), frame(2)]),
    repeated: Buffer.concat([header, frame(0), frame(0), frame(2)]),
    "one left out": Buffer.concat([header, frame(0), frame(2)]),
  };
  for (const [what, bytes] of Object.entries(others)) {
    assert.throws(() => openBytes(bytes, key, name), unusable(/damaged/), what);
  }
  for (const at of [16, 40, 36 + mib, 36 + stored + 100, sealed.length - 1]) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => openBytes(changed, key, name), unusable(/damaged/), `byte ${at}`);
  }
  assert.throws(() => openBytes(sealed, key, `${name}2`), unusable(/damaged/));
});

test("another key, or none, is said to be one", () => {
  const sealed = sealBytes(Buffer.from("x"), key, name);
  const other = sealingKey(Buffer.alloc(32, 8));
  assert.throws(() => openBytes(sealed, other, name), unusable(new RegExp(`under key ${key.id}.*is ${other.id}`)));
  assert.throws(() => openBytes(sealed, null, name), unusable(/there is no key: see backup\.keyFile/));
});
