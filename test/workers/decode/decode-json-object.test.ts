import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJsonObject } from "../../../src/workers/decode/decode-json-object.js";
import { readTableName } from "../../../src/workers/decode/read-table-name.js";
import { codesOf, decodeAll, newTarget, refusal, rowsOf, shared, typesOf } from "./bulk-harness.js";
import { decodeText } from "./json-samples.js";

const noon = 1_795_348_800_000_000n;
const row = { timestamp: noon, id: "a1", name: "Ada", age: 36n };

test("the original shape, its keys in any order and case", () => {
  const members = [
    '"table":"users"',
    '"id":"a1"',
    '"timestamp":"2026-11-22T12:00:00Z"',
    '"payload":{"name":"Ada","age":36}',
  ];
  for (let turn = 0; turn < members.length; turn++) {
    members.push(members.shift() as string);
    for (const body of [
      `{${members.join(",")}}`,
      ` { ${members.join(" ,\n")} } \n`,
      `{${members.join(",").toUpperCase().replace("ADA", "Ada").replace("A1", "a1").replace("NAME", "name").replace("AGE", "age")}}`,
      `\ufeff{${members.join(",")}}`,
    ]) {
      const { rows } = decodeText(decodeJsonObject, body);
      assert.deepEqual(rows, [row], body);
      assert.match(readTableName(Buffer.from(body)) ?? "", /^users$/i);
    }
  }
});

test("escaped keys and values are the same keys and values", () => {
  const { rows } = decodeText(
    decodeJsonObject,
    '{"\\u0069d":"a\\u0031","time\\u0073tamp":1795348800,"p\\u0061yload":{"n\\u0061me":"\\u0041da","age":36}}',
  );
  assert.deepEqual(rows, [row]);
});

test("keys that nobody asked for are passed over", () => {
  const { target, rows } = decodeText(
    decodeJsonObject,
    '{"extra":{"payload":{"x":1}},"id":"a1","list":[1,{"id":2}],"timestamp":1795348800,"payload":{"name":"Ada","age":36},"ids":null}',
  );
  assert.deepEqual(rows, [row]);
  assert.deepEqual(typesOf(target), { name: "string", age: "long" });
});

test("payload keys named like the system columns get a number", () => {
  const { rows } = decodeText(
    decodeJsonObject,
    '{"id":"a1","timestamp":1795348800,"payload":{"id":7,"ID":8,"Timestamp":"x","t\\u0069mestamp":"y"}}',
  );
  assert.deepEqual(rows, [{ timestamp: noon, id: "a1", id_2: 8n, Timestamp_2: "y" }]);
});

test("the payload is required and is an object", () => {
  for (const body of [
    "{}",
    '{"id":"a1"}',
    '{"payload":null}',
    '{"payload":[]}',
    '{"payload":"x"}',
    '{"payload":1,"id":"a1"}',
    "[]",
    "1",
    "null",
    '"payload"',
  ]) {
    const { target } = decodeText(decodeJsonObject, body);
    assert.deepEqual(codesOf(target), [[0, "payload", "INVALID_ROW"]], body);
    assert.equal(target.builder.rowCount, 0);
  }
  assert.equal(decodeText(decodeJsonObject, '{"payload":{}}').target.account.accepted, 1);
});

test("id and timestamp: missing, null, wrong", () => {
  const required = { defaults: { idRequired: true } };
  assert.deepEqual(codesOf(decodeText(decodeJsonObject, '{"payload":{"x":1}}', required).target), [
    [0, "id", "ID_REQUIRED"],
  ]);
  assert.deepEqual(codesOf(decodeText(decodeJsonObject, '{"id":null,"payload":{"x":1}}', required).target), [
    [0, "id", "ID_REQUIRED"],
  ]);
  assert.deepEqual(codesOf(decodeText(decodeJsonObject, '{"id":"not fine","payload":{"x":1}}').target), [
    [0, "id", "INVALID_ID"],
  ]);
  const wrong = decodeText(decodeJsonObject, '{"timestamp":"soon","payload":{"x":1}}').target;
  assert.deepEqual(codesOf(wrong), [[0, "timestamp", "INVALID_TIMESTAMP"]]);
  assert.deepEqual(typesOf(wrong), {}, "a rejected row leaves no column behind");
});

test("of a key that comes twice the last counts, payload and all", () => {
  const bodies = [
    '{"id":"x","id":"a1","timestamp":1,"timestamp":1795348800,"payload":{"old":true},"payload":{"name":"Ada","age":36}}',
    '{"payload":{"name":5},"id":"a1","payload":{"name":"Ada","age":36},"timestamp":1795348800}',
    '{"payload":1,"id":"bad id","timestamp":"bad","payload":{"name":"Ada","age":36},"id":"a1","timestamp":1795348800}',
  ];
  for (const body of bodies) {
    const { target, rows } = decodeText(decodeJsonObject, body);
    assert.deepEqual(rows, [row], body);
    assert.deepEqual(typesOf(target), { name: "string", age: "long" });
  }
  assert.deepEqual(codesOf(decodeText(decodeJsonObject, '{"payload":{"x":1},"payload":null}').target), [
    [0, "payload", "INVALID_ROW"],
  ]);
  // A hundred thousand of them cost no more than the same bytes of anything else.
  const many = decodeText(
    decodeJsonObject,
    `{${'"payload":{"x":1},'.repeat(100_000)}"payload":{"name":"Ada","age":36},"id":"a1","timestamp":1795348800}`,
  );
  assert.deepEqual(many.rows, [row]);
});

test("a body that is not JSON is refused with the position", () => {
  const text =
    '{"table":"users","id":"é","timestamp":"2026-11-22T12:00:00Z","payload":{"name":"Ada\\n","age":36,"j":[{}]}}';
  const bytes = Buffer.from(text);
  for (let length = 0; length < bytes.length; length++) {
    const target = newTarget({ earlierRows: 1 });
    const error = refusal(decodeJsonObject, bytes.subarray(0, length), target);
    assert.deepEqual([error.code, error.details], ["INVALID_BODY", { position: length }]);
    assert.equal(target.builder.rowCount, 1);
    assert.deepEqual(typesOf(target), {}, "a refused body leaves no column behind");
  }
  for (const [body, position] of [
    ["{,}", 1],
    ['{"payload":{}} x', 15],
    ['{"payload":{"x":1,}}', 18],
    ['{"id":1,}', 8],
    ["{payload:{}}", 1],
    ['{"a" 1}', 5],
    ["x", 0],
  ] as const) {
    assert.deepEqual(refusal(decodeJsonObject, Buffer.from(body)).details, { position }, body);
  }
});

test("bodies one after the other, of one table and of several", () => {
  const one = newTarget();
  const other = newTarget({ columns: { age: "double" } });
  for (let round = 0; round < 50; round++) {
    for (const target of [one, other]) {
      const payload =
        round % 7 === 3
          ? { age: round }
          : round % 11 === 5
            ? { age: round, name: "x", [`k${round}`]: 1 }
            : { name: `n${round}`, age: round };
      const body = Buffer.from(JSON.stringify({ table: "t", id: `i${round}`, timestamp: round, payload }));
      decodeAll(decodeJsonObject, round % 2 === 0 ? body : shared(body), target);
    }
  }
  const rows = rowsOf(one);
  assert.equal(rows.length, 50);
  assert.deepEqual(rows[3], { timestamp: 3_000_000n, id: "i3", age: 3n });
  assert.deepEqual(rows[5], { timestamp: 5_000_000n, id: "i5", age: 5n, name: "x", k5: 1n });
  assert.deepEqual(rows[6], { timestamp: 6_000_000n, id: "i6", age: 6n, name: "n6" });
  assert.deepEqual(rowsOf(other)[49], { timestamp: 49_000_000n, id: "i49", age: 49, name: "x", k49: 1n });
});

test("a large row is one step", () => {
  const text = "é".repeat(400_000);
  const { rows } = decodeText(decodeJsonObject, JSON.stringify({ payload: { text, x: 1 }, id: "big", timestamp: 0 }));
  assert.deepEqual(rows, [{ timestamp: 0n, id: "big", text, x: 1n }]);
});
