import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ParseCache } from "../../../src/main/query/parse-cache.js";
import { decodeCursor, encodeCursor } from "../../../src/main/query/query-cursor.js";
import { suggestName } from "../../../src/shared/suggest-name.js";
import { limits } from "../../../src/shared/limits.js";

describe("cursors", () => {
  test("lead back to their result and offset", () => {
    const keptId = "AbCdEfGhIjKlMnOpQrSt-_";
    for (const offsetRows of [0, 1, 35, 36, 1_000_000, Number.MAX_SAFE_INTEGER]) {
      assert.deepEqual(decodeCursor(encodeCursor({ keptId, offsetRows })), { keptId, offsetRows });
    }
    assert.equal(decodeCursor(""), null);
    const good = encodeCursor({ keptId, offsetRows: 5 });
    for (const bad of [
      "x",
      ".",
      "5",
      `${good}.1`,
      `${good}-`,
      `x${good}`,
      `${keptId}.`,
      `${keptId}.-1`,
      `${good}zzzzzzzzzzzz`,
    ]) {
      assert.throws(() => decodeCursor(bad), { code: "INVALID_REQUEST" }, bad);
    }
  });
});

describe("the cache of parsed statements", () => {
  const statement = { kind: "show-tables" } as const;

  test("forgets the least recently used, and keeps no long texts", () => {
    const cache = new ParseCache();
    for (let index = 0; index < limits.parsedStatementsMax; index++) cache.set(`SELECT ${index}`, statement);
    assert.equal(cache.get("SELECT 0"), statement);
    cache.set("one more", statement);
    assert.equal(cache.size, limits.parsedStatementsMax);
    assert.equal(cache.get("SELECT 1"), undefined);
    assert.equal(cache.get("SELECT 0"), statement);
    cache.set("x".repeat(limits.parsedStatementBytesMax + 1), statement);
    assert.equal(cache.size, limits.parsedStatementsMax);
  });
});

test("a suggestion is near, or there is none", () => {
  const names = ["cpu_usage", "memory", "disk", "Events"];
  assert.equal(suggestName("cpu_usages", names), "cpu_usage");
  assert.equal(suggestName("event", names), "Events");
  assert.equal(suggestName("DISC", names), "disk");
  assert.equal(suggestName("/etc/passwd", names), null);
  assert.equal(suggestName("x", names), null);
});
