/**
 * How much a test does that may do more or less of the same: rounds, kills, rows. `npm test` is small, so that its verdict is
 * there in about ten minutes on two processors; CI is medium. Of a single file:
 *
 *   MINIODB_TEST_SIZE=medium npm test -- crash
 *
 * What a test asserts is the same in both; the variables of single suites (MINIODB_TEST_KILLS and others) go before it.
 */
import assert from "node:assert/strict";
import { seededRandom } from "./seeded-random.js";

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

/** For the `skip` of what `someOf` may have left out: false where it was chosen. */
export function whyLeftOut(chosen: readonly string[], name: string): string | false {
  return chosen.includes(name) ? false : `this small run has ${chosen.join(" and ")} instead`;
}

/**
 * So many of the like cases in a small run, in their order and others each time, unless MINIODB_TEST_SEED names them; all in
 * a medium one. Which they were is to be seen in the names of the tests.
 */
export function someOf<Value>(cases: readonly Value[], small: number): readonly Value[] {
  if (size === "medium") return cases;
  const random = seededRandom(Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000));
  const left = cases.map((_, index) => index);
  while (left.length > small) left.splice(random.integer(left.length), 1);
  return left.map((index) => cases[index] as Value);
}
