import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { columnKeysOf } from "../../../src/main/access/key-source.js";
import { ConfigError } from "../../../src/shared/config-error.js";

const one = Buffer.alloc(32, 1);
const two = Buffer.alloc(32, 2);

function keysOf(key: string, keyFile = ""): string[] {
  return columnKeysOf({ encryption: { key, keyFile } }).map((secret) => Buffer.from(secret).toString("hex"));
}

test("keys come as raw bytes, hex or base64, one a line or with commas", () => {
  assert.deepEqual(keysOf(""), []);
  assert.deepEqual(keysOf(one.toString("hex")), [one.toString("hex")]);
  const both = [two.toString("hex"), one.toString("hex")];
  assert.deepEqual(keysOf(`${two.toString("base64")}, ${one.toString("hex")}`), both);
  const folder = mkdtempSync(join(tmpdir(), "miniodb-keys-"));
  try {
    const path = join(folder, "keys");
    writeFileSync(path, one);
    assert.deepEqual(keysOf("", path), [one.toString("hex")]);
    writeFileSync(path, `\n${two.toString("hex")}\r\n${one.toString("base64")}\n\n`);
    assert.deepEqual(keysOf("", path), both);
    writeFileSync(path, "\n");
    assert.throws(() => keysOf("", path), ConfigError);
    assert.throws(() => keysOf(one.toString("hex"), path), /only one may be set/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a key that is none is refused, and not shown", () => {
  for (const key of [
    "secret",
    "ab".repeat(31),
    `${one.toString("hex")},x`,
    `${one.toString("hex")} ${two.toString("hex")}`,
  ]) {
    assert.throws(
      () => keysOf(key),
      (error) =>
        error instanceof ConfigError && !error.message.includes(key) && /encryption\.key, key \d/.test(error.message),
    );
  }
  assert.throws(() => keysOf("", "/nonexistent/key"), /encryption\.keyFile \/nonexistent\/key/);
});
