/**
 * How much a test does that may do more or less of the same: rounds, kills, rows. `npm test` is small, so that its verdict is
 * there within ten minutes on two processors; CI is medium. Of a single file:
 *
 *   MINIODB_TEST_SIZE=medium npm test -- crash
 *
 * What a test asserts is the same in both; the variables of single suites (MINIODB_TEST_KILLS and others) go before it.
 */
import assert from "node:assert/strict";

const sizes = ["small", "medium"] as const;
const sizeOfCi = process.env["CI"] === "true" ? "medium" : "small";
const size = process.env["MINIODB_TEST_SIZE"] ?? sizeOfCi;
assert.ok(
  sizes.some((known) => known === size),
  `MINIODB_TEST_SIZE is one of ${sizes.join(", ")}, not ${size}`,
);

/** The value for this run. */
export function sized<Value>(small: Value, medium: Value): Value {
  return size === "medium" ? medium : small;
}

/** What the variable asks for, else what the size of this run does. */
export function sizedBy(variable: `MINIODB_TEST_${string}`, small: number, medium: number): number {
  return Number(process.env[variable] ?? sized(small, medium));
}
