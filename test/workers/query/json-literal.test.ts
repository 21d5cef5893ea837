import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeForLiteral } from "../../../src/workers/query/json-literal.js";

test("JSON text within quotes is the literal that JSON.stringify makes of it, whatever its size", () => {
  const row = JSON.stringify({ a: 'q"\\u0000 \u2028 é 😀', "b\\": [1, null], c: '\\"' });
  for (const count of [0, 1, 2, 1000, 30_000, 3]) {
    const text = `[${Array.from({ length: count }, () => row).join(",")}]`;
    const bytes = new TextEncoder().encode(text);
    const escaped = Buffer.from(escapeForLiteral(bytes, new Uint8Array(bytes.length * 2))).toString();
    assert.equal(`"${escaped}"`, JSON.stringify(text), `${count} rows`);
  }
});

test("room for the worst of texts is enough", () => {
  const text = Buffer.alloc(1000, '"');
  assert.equal(Buffer.from(escapeForLiteral(text, new Uint8Array(2000))).toString(), '\\"'.repeat(1000));
});
