import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import { decodeJsonArray } from "../../../src/workers/decode/decode-json-array.js";
import { decodeJsonObject } from "../../../src/workers/decode/decode-json-object.js";
import { decodeNdjson } from "../../../src/workers/decode/decode-ndjson.js";
import { readTableName } from "../../../src/workers/decode/read-table-name.js";
import { codesOf, decodeAll, newTarget, refusal, typesOf, valuesOf } from "./bulk-harness.js";
import { decodeText } from "./json-samples.js";

const megabytes = 10 * 1024 * 1024;
const textBytes = 3 * 1024 * 1024;

/** A hostile body of this size may cost no more than a harmless one does, by a wide margin. */
function withinSeconds(seconds: number, work: () => void): void {
  const startMs = performance.now();
  work();
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs < seconds * 1000, `took ${Math.round(tookMs)} ms`);
}

test("ten megabytes of one byte", () => {
  for (const char of ["[", "{", '"', "0", "-", " ", "\n", ",", "\\", "\0", "}", "n"]) {
    const body = Buffer.alloc(megabytes, char);
    withinSeconds(8, () => {
      const target = newTarget();
      decodeAll(decodeNdjson, body, target);
      assert.equal(target.account.accepted, 0);
      if (char !== "\n" && char !== " ") assert.equal(target.account.rejected, 1);
      assert.equal(refusal(decodeJsonArray, body).code, "INVALID_BODY");
      if (char !== "0") assert.equal(refusal(decodeJsonObject, body).code, "INVALID_BODY");
      assert.equal(readTableName(body), null);
    });
  }
});

test("nesting without end, in every place", () => {
  for (const open of ["[", '{"a":', '[{"b":[']) {
    const nested = open.repeat(Math.floor(megabytes / open.length / 4));
    for (const [decode, body] of [
      [decodeJsonArray, `[{"x":${nested}`],
      [decodeJsonObject, `{"payload":{"x":${nested}`],
      [decodeJsonObject, `{"other":${nested}`],
    ] as const) {
      const error = refusal(decode, Buffer.from(body));
      assert.equal(error.code, "INVALID_BODY");
      assert.match(error.message, /nested deeper than 64 levels/);
    }
    const { target } = decodeText(decodeNdjson, `{"x":${nested}\n{"x":1}\n`);
    assert.deepEqual(valuesOf(target), [1n]);
    assert.deepEqual(codesOf(target), [[0, null, "INVALID_JSON"]]);
  }
});

test("broken lines without end cost no exception each", () => {
  withinSeconds(5, () => {
    const { target } = decodeText(decodeNdjson, '{"x":1\n'.repeat(100_000) + "x\n".repeat(100_000) + '{"x":2}\n', {
      errorsMax: 5,
    });
    assert.equal(target.account.rejected, 200_000);
    assert.equal(target.account.errors.length, 5);
    assert.deepEqual(valuesOf(target), [2n]);
  });
});

test("a string, a number and a key of megabytes", () => {
  const long = "x".repeat(textBytes);
  const digits = "7".repeat(textBytes);
  const cases: readonly (readonly [string, string | undefined])[] = [
    [`{"s":"${long}"}`, undefined],
    [`{"s":"\\n${long}"}`, undefined],
    [`{"s":"${"\\u0041".repeat(textBytes / 6)}"}`, undefined],
    [`{"d":${digits}}`, "NUMBER_OUT_OF_RANGE"],
    [`{"d":0.${digits}}`, undefined],
    [`{"l":${digits}}`, "NUMBER_OUT_OF_RANGE"],
    [`{"t":${digits}}`, "TIMESTAMP_OUT_OF_RANGE"],
    [`{"t":1.${digits}}`, undefined],
    [`{"t":"${long}"}`, "INVALID_TIMESTAMP"],
    [`{"${long}":1}`, "INVALID_COLUMN_NAME"],
    [`{"id":"${long}"}`, undefined],
    [`{"j":["${long}",${digits}]}`, undefined],
  ];
  for (const [row, code] of cases) {
    withinSeconds(5, () => {
      const options = { columns: { s: "string", d: "double", l: "long", t: "timestamp", j: "json" } as const };
      const { target } = decodeText(decodeNdjson, `${row}\n{"l":1}\n`, options);
      assert.deepEqual(
        target.account.errors.map((error) => error.code),
        code === undefined ? [] : [code],
        row.slice(0, 40),
      );
    });
  }
});

test("keys in every spelling are remembered to a bound", () => {
  const spellings = Array.from({ length: 20_000 }, (_, bits) => {
    const name = Array.from("abcdefghijklmno", (char, index) =>
      ((bits >> index) & 1) === 1 ? char.toUpperCase() : char,
    ).join("");
    return `{"${name}":${bits},"z":1}`;
  });
  withinSeconds(5, () => {
    const { target } = decodeText(decodeNdjson, spellings.join("\n"));
    assert.deepEqual(typesOf(target), { abcdefghijklmno: "long", z: "long" });
    assert.deepEqual(
      valuesOf(target, "abcdefghijklmno"),
      spellings.map((_, bits) => BigInt(bits)),
    );
  });
});

test("rows of two thousand columns that are all rejected leave nothing, quickly", () => {
  const row = (turn: number): string =>
    `{${Array.from({ length: 1_990 }, (_, index) => `"c${turn}_${index}":${index}`).join(",")},"id":"not fine"}`;
  withinSeconds(8, () => {
    const { target } = decodeText(decodeNdjson, Array.from({ length: 15 }, (_, turn) => row(turn)).join("\n"));
    assert.equal(target.account.rejected, 15);
    assert.deepEqual(typesOf(target), {});
  });
});

test("one row of many columns does not make every empty row behind it as wide", () => {
  const wide = `{${Array.from({ length: 1_900 }, (_, index) => `"c${index}":1`).join(",")}}`;
  const error = refusal(decodeNdjson, Buffer.from(`${wide}\n${"{}\n".repeat(200_000)}`));
  assert.equal(error.code, "BODY_TOO_LARGE");
  assert.deepEqual(error.details, { limitBytes: limits.batchBytesMax });
});

test("a body may bring so many rows and no more", () => {
  const target = newTarget();
  // As if the earlier windows of this body had brought them.
  target.account.rejected = limits.bodyRowsMax - 1;
  decodeAll(decodeNdjson, Buffer.from("{}\n"), target);
  for (const [decode, body] of [
    [decodeNdjson, "{}\n"],
    [decodeJsonArray, "[{}]"],
  ] as const) {
    assert.equal(refusal(decode, Buffer.from(body), target).code, "BODY_TOO_LARGE");
  }
});
