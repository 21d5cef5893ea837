import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import type { ColumnData } from "../../../src/shared/columns/column-batch.js";
import { type ColumnCipher, ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import {
  openTexts,
  sealColumn,
  sealedColumnBytes,
  sealedValueBytes,
  type TextRows,
} from "../../../src/shared/formats/sealed-value-v1.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { seededRandom } from "../../harness/seeded-random.js";

const secret = Buffer.alloc(32, 7);
const scope = "0123456789abcdef";
const keys = new ColumnKeys([secret]);
const strict = { scope, mayBePlain: false };

function newest(ring: ColumnKeys, of: string): ColumnCipher {
  const cipher = ring.newest(of);
  assert.ok(cipher !== undefined);
  return cipher;
}

function columnOf(values: readonly (string | null)[]): ColumnData {
  const builder = new ColumnBuilder(5, "string");
  for (const [row, value] of values.entries()) {
    if (value === null) builder.setNull(row);
    else builder.setString(row, value);
  }
  return builder.finish(values.length);
}

function textsOf({ values, offsets }: ColumnData): TextRows {
  assert.ok(offsets !== null);
  const lengths = Uint32Array.from(offsets.subarray(1), (end, row) => end - (offsets[row] ?? 0));
  return { bytes: values, lengths };
}

function rowsOf(texts: readonly string[]): TextRows {
  const parts = texts.map((text) => Buffer.from(text));
  return { bytes: Buffer.concat(parts), lengths: Uint32Array.from(parts, (part) => part.length) };
}

function listOf({ bytes, lengths }: TextRows): string[] {
  let at = 0;
  return Array.from(lengths, (length) => Buffer.from(bytes.subarray(at, (at += length))).toString());
}

function locked(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MiniodbError && error.code === "COLUMN_LOCKED", String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

test("values of version 1 stay readable (golden file), by OpenSSL alone, too", () => {
  const path = join(repositoryRoot, "test/golden/sealed-value-v1.txt");
  const plain = ["alice@example.com", "", "größer 🙂"];
  if (process.env["UPDATE_GOLDEN"] === "1") {
    writeFileSync(path, `${listOf(textsOf(sealColumn(columnOf(plain), newest(keys, scope)))).join("\n")}\n`);
  }
  const golden = readFileSync(path, "utf8").trimEnd().split("\n");
  assert.deepEqual(listOf(openTexts(rowsOf(golden), strict, keys)), plain);
  const key = new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), `miniodb column v1 ${scope}`, 32));
  for (const [index, text] of golden.entries()) {
    const item = Buffer.from(text.slice(15), "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, item.subarray(0, 12));
    decipher.setAAD(Buffer.from(scope));
    decipher.setAuthTag(item.subarray(-16));
    const opened = Buffer.concat([decipher.update(item.subarray(12, -16)), decipher.final()]);
    assert.equal(opened.toString(), plain[index]);
  }
});

test("a column with NULLs, empty texts, and texts of all lengths comes back; no two values look the same", (context) => {
  const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const values = Array.from({ length: 10_000 }, (_, row) => {
    if (row === 100) return "x".repeat(3 * 1024 * 1024);
    const kind = random.integer(10);
    return kind === 0 ? null : kind === 1 ? "" : "é".repeat(random.integer(40));
  });
  const column = columnOf(values);
  const sealed = sealColumn(column, newest(keys, scope));
  assert.equal(sealed.values.length, sealedColumnBytes(column));
  assert.equal(sealed.nullCount, column.nullCount);
  assert.equal(sealed.fieldId, 5);
  const texts = textsOf(sealed);
  const list = listOf(texts);
  for (const [row, value] of values.entries()) {
    assert.equal(list[row]?.length, value === null ? 0 : sealedValueBytes(Buffer.byteLength(value)));
  }
  const present = list.filter((text) => text !== "");
  assert.equal(new Set(present).size, present.length);
  assert.deepEqual(
    listOf(openTexts(texts, strict, keys)),
    values.map((value) => value ?? ""),
  );
});

test("another key, another column, a changed or a plain value are told", () => {
  const [value = ""] = listOf(textsOf(sealColumn(columnOf(["secret"]), newest(keys, scope))));
  const open = (text: string, request = strict, ring = keys): string[] =>
    listOf(openTexts(rowsOf([text]), request, ring));
  assert.deepEqual(open(value), ["secret"]);
  const keyId = value.slice(6, 14);
  assert.throws(() => open(value, strict, new ColumnKeys([])), locked(new RegExp(`key ${keyId}`)));
  assert.throws(() => open(value, strict, new ColumnKeys([Buffer.alloc(32, 8)])), locked(/does not have/));
  assert.throws(() => open(value, { ...strict, scope: "fedcba9876543210" }), locked(/not the one that was written/));
  const other = value.at(40) === "A" ? "B" : "A";
  assert.throws(() => open(value.slice(0, 40) + other + value.slice(41)), locked(/not the one that was written/));
  assert.throws(() => open("plain"), locked(/not encrypted/));
  assert.throws(() => open(value.slice(0, -4)), MiniodbError);
  const mixed = { scope, mayBePlain: true };
  for (const plain of ["plain", "enc:1:", `${value} `, value.replace("enc", "ENC"), `enc:1:${"g".repeat(8)}:AAAA`]) {
    assert.deepEqual(open(plain, mixed), [plain]);
  }
});

test("old keys decrypt, the first one encrypts; rows of both are read together", () => {
  const old = new ColumnKeys([secret]);
  const rotated = new ColumnKeys([Buffer.alloc(32, 9), secret]);
  const sealed = [old, rotated, old, rotated, rotated].map(
    (ring, index) => listOf(textsOf(sealColumn(columnOf([`v${index}`]), newest(ring, scope))))[0] ?? "",
  );
  assert.deepEqual(listOf(openTexts(rowsOf(sealed), strict, rotated)), ["v0", "v1", "v2", "v3", "v4"]);
  assert.throws(() => openTexts(rowsOf(sealed), strict, old), locked(/does not have/));
});
