import assert from "node:assert/strict";
import { test } from "node:test";
import { readFormat } from "../../../../src/main/protocols/rest/result-format.js";
import { MiniodbError } from "../../../../src/shared/errors.js";

test("the field comes first, and must be one that there is", () => {
  assert.equal(readFormat("csv", "application/json"), "csv");
  assert.equal(readFormat("", "text/csv"), "csv");
  for (const field of ["xml", "CSV", "toString", "__proto__"]) {
    assert.throws(
      () => readFormat(field, ""),
      (error) =>
        error instanceof MiniodbError && error.code === "INVALID_REQUEST" && /arrow, parquet/.test(error.message),
    );
  }
});

test("Accept: the most wanted that there is, else the original", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["", "original"],
    ["*/*", "original"],
    ["application/json", "original"],
    // What axios and fetch send, and browsers.
    ["application/json, text/plain, */*", "original"],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "original"],
    ["text/csv", "csv"],
    ["TEXT/CSV; charset=utf-8", "csv"],
    ["application/json;q=0.5, text/csv;q=0.9", "csv"],
    ["text/csv;q=0, application/x-ndjson;q=0.1", "ndjson"],
    ["*/*, application/vnd.apache.arrow.stream", "arrow"],
    ["application/vnd.apache.parquet;q=0.001, */*", "parquet"],
    ["application/msgpack, application/x-msgpack", "msgpack"],
    ["application/vnd.miniodb.result+json", "json"],
    ["constructor, text/csv;q=nonsense", "original"],
    ["application/x-ndjson, text/csv", "ndjson"],
  ];
  for (const [accept, format] of cases) assert.equal(readFormat(undefined, accept), format, accept);
});
