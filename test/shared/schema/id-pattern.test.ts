import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import { compileIdPattern } from "../../../src/shared/schema/id-pattern.js";

describe("compileIdPattern", () => {
  test("finds what RegExp finds", () => {
    const texts = ["", "user-1", "USER-1", "xx user-12 yy", "ä1", "a\nb", "日本"];
    for (const pattern of ["^user-[0-9]+$", "user-\\d+", "(?i)^user", "^\\p{L}+$", "^.{2}$", "[^a-z]", "^(a|b|ä)1?$"]) {
      const matches = compileIdPattern(pattern);
      assert.ok(matches !== null, pattern);
      // RegExp has no inline flags.
      const expected = pattern.startsWith("(?i)") ? new RegExp(pattern.slice(4), "iu") : new RegExp(pattern, "u");
      for (const text of texts) assert.equal(matches(text), expected.test(text), `${pattern} on ${text}`);
    }
  });

  test("what RE2 does not have, and what is too long, is no pattern", () => {
    const tooLong = "a".repeat(limits.idPatternCharactersMax + 1);
    for (const pattern of ["(", "(?=a)b", "(?<!a)b", "(a)\\1", "a{1001}", "((a{100}){100}){100}", tooLong]) {
      assert.equal(compileIdPattern(pattern), null, pattern);
    }
  });

  test("patterns that hold RegExp for ages take milliseconds", () => {
    const text = `${"a".repeat(limits.idLengthMax)}!`;
    for (const pattern of ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*a){12}b", "^(([a-z])+.)+[A-Z]([a-z])+$"]) {
      const matches = compileIdPattern(pattern);
      assert.ok(matches !== null, pattern);
      const startMs = performance.now();
      assert.equal(matches(text), false, pattern);
      // Backtracking would take longer than the test may: 2^1024 steps.
      assert.ok(performance.now() - startMs < 5_000, pattern);
    }
  });
});
