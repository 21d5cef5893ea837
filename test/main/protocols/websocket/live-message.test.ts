import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLiveMessage, parseLiveQuery } from "../../../../src/main/protocols/websocket/live-message.js";

const parse = (message: unknown): unknown =>
  parseLiveMessage(Buffer.from(typeof message === "string" ? message : JSON.stringify(message)));

test("what a message leaves out", () => {
  const plain = { type: "subscribe", id: "cpu", table: "cpu", filter: null, from: null, credits: null };
  assert.deepEqual(parse({ type: "subscribe", table: "cpu" }), plain);
  assert.deepEqual(parse({ type: "subscribe", table: "cpu", filter: " ", from: "now", credits: null }), plain);
  const full = { type: "subscribe", id: "a", table: "cpu", filter: "v > 1", from: "x.1", credits: 3 };
  assert.deepEqual(parse(full), full);
  assert.deepEqual(parse({ type: "credit", id: "a" }), { type: "credit", id: "a", credits: 1 });
  assert.deepEqual(parse({ type: "unsubscribe", id: "a" }), { type: "unsubscribe", id: "a" });
});

test("a subscription in the query string", () => {
  assert.equal(parseLiveQuery(new URLSearchParams("")), null);
  assert.deepEqual(parseLiveQuery(new URLSearchParams("table=cpu&filter=temp>3&from=x.1&credits=2&id=a")), {
    type: "subscribe",
    id: "a",
    table: "cpu",
    filter: "temp>3",
    from: "x.1",
    credits: 2,
  });
  assert.throws(() => parseLiveQuery(new URLSearchParams("table=cpu&credits=many")), { code: "INVALID_REQUEST" });
});

test("messages that cannot be", () => {
  const wrong: readonly unknown[] = [
    "",
    "null",
    "[]",
    "1",
    '{"type"',
    {},
    { type: "Subscribe", table: "cpu" },
    { type: "subscribe" },
    { type: "subscribe", table: 1 },
    { type: "subscribe", table: "no such; name" },
    { type: "subscribe", table: "cpu", filter: 1 },
    { type: "subscribe", table: "cpu", from: 1 },
    { type: "subscribe", table: "cpu", id: 7 },
    { type: "subscribe", table: "cpu", id: "" },
    { type: "subscribe", table: "cpu", id: "x".repeat(65) },
    { type: "subscribe", table: "cpu", credits: 0 },
    { type: "subscribe", table: "cpu", credits: 1.5 },
    { type: "subscribe", table: "cpu", credits: "1" },
    { type: "credit", credits: 1 },
    { type: "credit", id: "a", credits: -1 },
    { type: "unsubscribe" },
  ];
  for (const message of wrong) {
    assert.throws(() => parse(message), { code: "INVALID_REQUEST" }, JSON.stringify(message));
  }
  assert.throws(() => parseLiveMessage(Uint8Array.of(0xff, 0xfe)), { code: "INVALID_REQUEST" });
});
