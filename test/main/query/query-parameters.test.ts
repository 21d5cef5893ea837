import assert from "node:assert/strict";
import { test } from "node:test";
import { type QueryParameters, readParameters, valuesOf } from "../../../src/main/query/query-parameters.js";
import { MiniodbError } from "../../../src/shared/errors.js";

function detailsOf(work: () => unknown): Readonly<Record<string, unknown>> {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof MiniodbError);
    assert.equal(error.code, "INVALID_REQUEST");
    assert.equal(error.details["field"], "params");
    return error.details;
  }
  assert.fail("no error");
}

test("the field is a list or an object of plain values", () => {
  assert.equal(readParameters(undefined), undefined);
  assert.equal(readParameters(null), undefined);
  const list = [null, true, 0, -1.5, "x", Number.MAX_SAFE_INTEGER, Number.MIN_VALUE];
  assert.equal(readParameters(list), list);
  assert.deepEqual(readParameters({ a: 1, "ä b": "x" }), { a: 1, "ä b": "x" });
  for (const value of ["x", 1, true]) assert.equal(detailsOf(() => readParameters(value))["parameter"], undefined);
  for (const value of [
    {},
    [{}],
    [[1]],
    [1, "a"],
    [true, 1],
    [2 ** 53],
    Array(10_001).fill(1),
    2 ** 53,
    -(2 ** 53),
    1e300,
    Number.POSITIVE_INFINITY,
  ]) {
    assert.equal(detailsOf(() => readParameters(["ok", value]))["parameter"], "2");
    assert.equal(detailsOf(() => readParameters({ at: value }))["parameter"], "at");
  }
});

test("a value may be a list of one kind of values", () => {
  const lists = [[], [null], [1, -2.5, null], ["a", null], [true, false], Array.from({ length: 10_000 }, () => 1)];
  for (const list of lists) {
    assert.deepEqual(readParameters([list]), [list]);
    assert.deepEqual(valuesOf(["hosts"], readParameters({ hosts: list })), [list]);
  }
  assert.deepEqual(
    detailsOf(() => readParameters({ hosts: ["a", 1] })),
    { field: "params", parameter: "hosts" },
  );
});

test("values come in the order of the parameters", () => {
  assert.deepEqual(valuesOf([], undefined), []);
  assert.deepEqual(valuesOf([], []), []);
  assert.deepEqual(valuesOf([], {}), []);
  assert.deepEqual(valuesOf(["1", "2"], ["a", null]), ["a", null]);
  assert.deepEqual(valuesOf(["at", "Host"], { HOST: "h", at: 1 }), [1, "h"]);
  assert.deepEqual(valuesOf(["__proto__", "constructor"], JSON.parse('{"__proto__":1,"constructor":2}')), [1, 2]);
});

test("a wrong count, form or name is told", () => {
  const cases: readonly (readonly [readonly string[], QueryParameters | undefined, Record<string, unknown>])[] = [
    [["1"], undefined, { expected: 1, given: 0 }],
    [["1"], ["a", "b"], { expected: 1, given: 2 }],
    [[], ["a"], { expected: 0, given: 1 }],
    [["1"], { a: 1 }, { parameters: ["1"] }],
    [["a"], [1], { parameters: ["a"] }],
    [["a"], undefined, { parameter: "a", parameters: ["a"] }],
    [["a", "b"], { a: 1 }, { parameter: "b", parameters: ["a", "b"] }],
    [["a"], { a: 1, c: 1 }, { parameter: "c", parameters: ["a"] }],
    [["a"], { a: 1, A: 1 }, { parameter: "A" }],
    [[], { a: 1 }, { parameter: "a", parameters: [] }],
    [["toString"], {}, { parameter: "toString", parameters: ["toString"] }],
  ];
  for (const [parameters, given, details] of cases) {
    assert.deepEqual(
      detailsOf(() => valuesOf(parameters, given)),
      { field: "params", ...details },
    );
  }
});
