import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readTableName } from "../../../src/workers/decode/read-table-name.js";
import { propertyRuns, shared } from "./bulk-harness.js";

function read(text: string): string | null {
  const bytes = Buffer.from(text);
  const name = readTableName(bytes);
  assert.equal(readTableName(shared(bytes)), name);
  return name;
}

test("the table is found behind anything", () => {
  assert.equal(read('{"table":"users"}'), "users");
  assert.equal(read(' {\n"payload" : {"table":"inner","x":[{"table":1}]} , "table" : "users" , "id":"x"}'), "users");
  assert.equal(read('{"TABLE":"users"}'), "users");
  assert.equal(read('{"t\\u0061ble":"us\\u0065rs"}'), "users");
  assert.equal(read('{"tables":"no","tabl":"no","table":"Users_2"}'), "Users_2");
  assert.equal(read('\ufeff{"table":"users"}'), "users");
  assert.equal(read('{"table":""}'), "");
  assert.equal(read('{"table":"日本"}'), "日本");
});

test("the first table counts, and what comes behind it is not looked at", () => {
  assert.equal(read('{"table":"users","table":"others"}'), "users");
  assert.equal(read('{"table":"users",broken'), "users");
});

test("no table, no string, no JSON: null", () => {
  for (const text of [
    "",
    "{}",
    "[]",
    "1",
    "null",
    '{"id":1}',
    '{"table":1}',
    '{"table":null}',
    '{"table":{}}',
    '{"table":["x"]}',
    '{"table"',
    '{"table":',
    '{"table":"us',
    '{"table" "x"}',
    '{"id":01,"table":"x"}',
    '{,"table":"x"}',
    '["table","x"]',
    '{"a":{"table":"x"}}',
    "\0",
    '{table:"x"}',
  ]) {
    assert.equal(read(text), null, text);
  }
});

test("the table is found at any distance from the start", () => {
  for (const bytes of [900, 1_000, 1_015, 1_023, 1_024, 1_025, 16_380, 16_390, 300_000]) {
    assert.equal(read(`{"payload":"${"x".repeat(bytes)}","n":${"1".repeat(20)},"table":"users"}`), "users");
    assert.equal(read(`${" ".repeat(bytes)}{"table":"users"}`), "users");
    assert.equal(read(`{"payload":"${"x".repeat(bytes)}"}`), null);
  }
});

test("of any JSON object the name that JSON.parse finds", () => {
  const body = fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue(), { maxKeys: 6 });
  fc.assert(
    fc.property(body, fc.string(), fc.nat(6), fc.nat(2), (rest, table, place, indent) => {
      const entries = Object.entries(rest).filter(([key]) => key.toLowerCase() !== "table");
      entries.splice(place, 0, ["table", table.toWellFormed()]);
      assert.equal(read(JSON.stringify(Object.fromEntries(entries), null, indent)), table.toWellFormed());
    }),
    propertyRuns(1_000),
  );
});
