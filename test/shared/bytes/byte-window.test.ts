import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWindow, readAheadBytes } from "../../../src/shared/bytes/byte-window.js";

function contentOf(window: ByteWindow): string {
  return Buffer.from(window.bytes.subarray(0, window.end)).toString("latin1");
}

function assertZerosBehind(window: ByteWindow): void {
  const behind = window.bytes.subarray(window.end, window.end + readAheadBytes);
  assert.equal(behind.length, readAheadBytes);
  assert.ok(behind.every((byte) => byte === 0));
}

test("a window holds the asked-for part of a body with zeros behind it", () => {
  const window = new ByteWindow(16);
  window.load(Buffer.from("0123456789"), 2, 7);
  assert.equal(contentOf(window), "23456");
  assertZerosBehind(window);
  window.load(Buffer.from("ab"), 0, 2);
  assert.equal(contentOf(window), "ab");
  assertZerosBehind(window);
});

test("bytes and view are the same memory, before and after the window grows", () => {
  const window = new ByteWindow(16);
  for (const text of ["abcd", "e".repeat(5_000), "wxyz"]) {
    window.load(Buffer.from(text), 0, text.length);
    assert.equal(contentOf(window), text);
    assert.equal(window.view.getUint8(0), text.charCodeAt(0));
    assertZerosBehind(window);
  }
});

test("memory past a megabyte is given back when it is not needed any more", () => {
  const window = new ByteWindow(16);
  const large = Buffer.alloc(3_000_000, 0x61);
  window.load(large, 0, large.length);
  assert.equal(window.end, 3_000_000);
  assertZerosBehind(window);
  window.load(large, 0, 10);
  assert.ok(window.bytes.length < 10_000);
  assertZerosBehind(window);
});

test("a body may be a view on shared memory", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(32), 3, 5);
  shared.set(Buffer.from("hello"));
  const window = new ByteWindow(8);
  window.load(shared, 0, 5);
  shared.fill(0x2a);
  assert.equal(contentOf(window), "hello");
});

test("an empty body is an empty window", () => {
  const window = new ByteWindow(8);
  window.load(new Uint8Array(0), 0, 0);
  assert.equal(window.end, 0);
  assertZerosBehind(window);
});

test("a borrowed part is the body itself, and what is loaded afterwards is a copy again", () => {
  const body = new Uint8Array(new SharedArrayBuffer(1_000), 10, 900);
  body.set(Buffer.from("line one\nline two\nline three"), 100);
  const window = new ByteWindow(8);
  window.borrow(body, 109, 118);
  assert.equal(contentOf(window), "line two\n");
  assert.equal(window.bytes.length, 9 + readAheadBytes);
  assert.equal(window.view.getUint8(0), "l".charCodeAt(0));
  body[109] = "L".charCodeAt(0);
  assert.equal(contentOf(window), "Line two\n");
  window.release();
  assert.equal(window.end, 0);
  window.load(body, 100, 104);
  body[100] = 0;
  assert.equal(contentOf(window), "line");
  assertZerosBehind(window);
  assert.throws(() => window.borrow(body, 0, 900 - readAheadBytes + 1), /look ahead/);
});
