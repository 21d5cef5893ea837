import assert from "node:assert/strict";
import { test } from "node:test";
import { parseToken, tokenPrefix } from "../../src/shared/sequence-token.js";

const stream = "0190a7b2-1111-4222-8333-444455556666";
const tableUuid = "fedcba98-7654-4321-8fed-cba987654321";

test("a token carries stream, table and sequence", () => {
  for (const sequence of [0, 1, 35, 36, 2 ** 53 - 1]) {
    const token = tokenPrefix(stream, tableUuid) + sequence.toString(36);
    assert.deepEqual(parseToken(token), { stream, tableUuid, sequence });
  }
});

test("anything else is refused", () => {
  for (const text of [
    "",
    ".",
    "abc.1",
    tokenPrefix(stream, tableUuid),
    `${tokenPrefix(stream, tableUuid)}-1`,
    "x".repeat(100),
  ]) {
    assert.throws(() => parseToken(text), { code: "INVALID_REQUEST" }, text);
  }
});
