import assert from "node:assert/strict";
import { test } from "node:test";
import { namePattern } from "../../../src/main/protocols/table-info.js";

test("name patterns: stars, question marks, any case, and no time for hostile ones", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["", "cpu", true],
    ["*", "cpu", true],
    ["C*", "cpu", true],
    ["c?u", "cpu", true],
    ["c?", "cpu", false],
    ["*p*", "cpu", true],
    ["*p", "cpu", false],
    ["c*u*", "cpu", true],
    ["cpu.", "cpux", false],
    ["a*b*c", "aXbXbXc", true],
    ["a*b*c", "aXbXbX", false],
  ];
  for (const [pattern, name, expected] of cases) assert.equal(namePattern(pattern)(name), expected, pattern);
  const hostile = `${"*a".repeat(5_000)}b`;
  assert.equal(namePattern(hostile)("a".repeat(64)), false);
});
