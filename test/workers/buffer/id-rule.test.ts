import assert from "node:assert/strict";
import { test } from "node:test";
import { idGenerator, idRule } from "../../../src/workers/buffer/id-rule.js";

function accepts(rule: ReturnType<typeof idRule>, text: string): boolean {
  const bytes = new TextEncoder().encode(`..${text}..`);
  return rule(bytes, 2, bytes.length - 2);
}

test("the default rule is 1 to 255 of letters, digits, _ and -", () => {
  const rule = idRule({});
  for (const id of ["a", "A-9_z", "x".repeat(255)]) assert.ok(accepts(rule, id), id);
  for (const id of ["", "a b", "ä", "a/b", "x".repeat(256), "a\u0000"]) assert.ok(!accepts(rule, id), id);
});

test("a table's own rule takes the place of the default", () => {
  const rule = idRule({ idValidation: { maxLength: 4, pattern: "^ä", allowedChars: "äbc" } });
  assert.ok(accepts(rule, "äbc"));
  for (const id of ["abc", "äbcbc", "äbd", ""]) assert.ok(!accepts(rule, id), id);
});

test("each strategy generates ids that its rule accepts, and never the same twice", () => {
  for (const idStrategy of ["uuid", "snowflake", "custom"] as const) {
    const generate = idGenerator({ idStrategy, idPrefix: "p-" }, 3);
    assert.ok(generate !== null);
    const ids = Array.from({ length: 20_000 }, generate);
    assert.equal(new Set(ids).size, ids.length, idStrategy);
    assert.ok(ids.every((id) => id.startsWith("p-") && accepts(idRule({}), id)));
    if (idStrategy === "snowflake") assert.deepEqual(ids, ids.toSorted(), "snowflakes sort by time");
  }
  assert.equal(idGenerator({}, 0), null);
  assert.ok(idGenerator({ autoGenerateId: true }, 0) !== null);
});
