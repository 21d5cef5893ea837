import assert from "node:assert/strict";
import { test } from "node:test";
import { readPartialRow } from "../../../src/main/mutate/row-envelope.js";

const read = (text: string) => readPartialRow(Buffer.from(text));
const code = (text: string): unknown => {
  try {
    return read(text);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

test("only a body that says so is partial", () => {
  assert.equal(read(`{"table":"t","id":"a","payload":{"x":1}}`), null);
  assert.equal(read(`not even JSON`), null);
  for (const value of ["false", "null"]) {
    assert.equal(read(`{"table":"t","id":"a","payload":{"x":1},"partial":${value}}`), null);
  }
  assert.equal(read(`{"table":"t","id":"a","payload":{"partial":true}}`), null, "a column of the name");
  assert.equal(read(`{"partial":true,"table":"t","id":"a","payload":{},"partial":false}`), null, "the last one counts");
});

test("values stay as they were sent", () => {
  const payload = `{"n": 12345678901234567890, "f":1.0,  "ü":"\\u00e4"}`;
  const body = ` { "id":"a\\nb", "Payload":${payload},"PARTIAL" : true ,"table":"t","timestamp":"2026-01-01T00:00:00Z" } `;
  assert.deepEqual(read(body), {
    table: "t",
    id: "a\nb",
    timestamp: `"2026-01-01T00:00:00Z"`,
    payload,
    payloadKeys: ["n", "f", "ü"],
  });
  const escaped = `{"\\u0070artial":true,"table":"t","id":"a","payload":{}}`;
  assert.deepEqual(read(escaped), { table: "t", id: "a", timestamp: null, payload: "{}", payloadKeys: [] });
});

test("what is wrong is named", () => {
  assert.equal(code(`{"table":"t","id":"a","payload":{},"partial":1}`), "INVALID_REQUEST");
  assert.equal(code(`{"table":"t","id":1,"payload":{},"partial":true}`), "INVALID_REQUEST");
  assert.equal(code(`{"table":"t","payload":{},"partial":true}`), "INVALID_REQUEST");
  assert.equal(code(`{"table":"t","id":"a","payload":[],"partial":true}`), "INVALID_REQUEST");
  for (const broken of [
    `[{"partial":true}]`,
    `{"partial":true`,
    `{"partial":true}x`,
    `{"partial":true,}`,
    `{partial:true}`,
  ]) {
    assert.equal(code(broken), "INVALID_BODY", broken);
  }
  assert.throws(() => readPartialRow(Buffer.from([...Buffer.from(`{"partial":true,"id":"`), 0xff, 0x22, 0x7d])), {
    code: "INVALID_BODY",
  });
});
